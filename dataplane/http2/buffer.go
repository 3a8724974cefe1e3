package http2

import "sync"

const (
	// smallSize holds the usual frames that come in one read.
	smallSize = 4 << 10
	// largeSize holds the payload of any frame, and what a TLS record holds.
	largeSize = maxFrame
)

// A buffer is a pooled array. The pool holds pointers to it, so that putting one
// back does not allocate.
type buffer struct {
	b []byte
	// r and w bound what is in it, for those who queue buffers.
	r, w int
}

var (
	smallBuffers = sync.Pool{New: func() any { return &buffer{b: make([]byte, smallSize)} }}
	largeBuffers = sync.Pool{New: func() any { return &buffer{b: make([]byte, largeSize)} }}
)

// onLease, if not nil, is told of every buffer taken (+1) and given back (-1).
// Tests count with it; it is set before any connection runs.
var onLease func(n int)

// takeBuffer returns an empty buffer of size bytes, or of largeSize if that is less.
func takeBuffer(size int) *buffer {
	if onLease != nil {
		onLease(+1)
	}
	pool := &largeBuffers
	if size <= smallSize {
		pool = &smallBuffers
	}
	b := pool.Get().(*buffer)
	b.r, b.w = 0, 0
	return b
}

// giveBuffer gives b back; b may be nil.
func giveBuffer(b *buffer) {
	if b == nil {
		return
	}
	if onLease != nil {
		onLease(-1)
	}
	if len(b.b) == smallSize {
		smallBuffers.Put(b)
	} else {
		largeBuffers.Put(b)
	}
}

// unread returns what is in b and not yet used.
func (b *buffer) unread() []byte { return b.b[b.r:b.w] }

// free returns the room behind it.
func (b *buffer) free() []byte { return b.b[b.w:] }
