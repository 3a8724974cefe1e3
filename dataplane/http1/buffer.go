package http1

import "sync"

const (
	// smallSize holds a usual head, or a usual answer.
	smallSize = 8 << 10
	// largeSize holds the largest head by default, and is what a body is read by.
	largeSize = 64 << 10
)

// A buffer is a pooled array. The pool holds pointers to it, so that putting one
// back does not allocate.
type buffer struct{ b []byte }

var (
	smallBuffers = sync.Pool{New: func() any { return &buffer{make([]byte, smallSize)} }}
	largeBuffers = sync.Pool{New: func() any { return &buffer{make([]byte, largeSize)} }}
)

// onLease, if not nil, is told of every buffer taken (+1) and given back (-1).
// Tests count with it; it is set before any connection runs.
var onLease func(n int)

// takeBuffer returns a buffer of at least size bytes.
func takeBuffer(size int) *buffer {
	if onLease != nil {
		onLease(+1)
	}
	switch {
	case size <= smallSize:
		return smallBuffers.Get().(*buffer)
	case size <= largeSize:
		return largeBuffers.Get().(*buffer)
	}
	return &buffer{make([]byte, size)}
}

// giveBuffer gives b back; b may be nil.
func giveBuffer(b *buffer) {
	if b == nil {
		return
	}
	if onLease != nil {
		onLease(-1)
	}
	switch len(b.b) {
	case smallSize:
		smallBuffers.Put(b)
	case largeSize:
		largeBuffers.Put(b)
	}
}
