//go:build linux && (amd64 || arm64) && !race

package socket

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"unsafe"
)

// tellEvery is how many reads of a connection go by before one is made in the
// ordinary way. While every thread of the runtime sleeps, its monitor does too, and
// it takes an ordinary system call to wake it. A process under load needs it: it
// preempts what runs too long, and looks after connections that wait while others
// keep all threads busy.
const tellEvery = 64

// tellFrom is the size from which on a call is made in the ordinary way: it may
// keep the kernel busy for so long that the scheduler should know.
const tellFrom = 128 << 10

// A Conn is a TCP connection. Like every net.Conn it may be used by any number of
// goroutines; two that read at once take turns, and so do two that write.
type Conn struct {
	*net.TCPConn
	raw syscall.RawConn
	in  input
	out output
}

// Wrap returns nc as a *Conn, if it is a TCP connection and the system allows it,
// else nc itself.
func Wrap(nc net.Conn) net.Conn {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return nc
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nc
	}
	c := &Conn{TCPConn: tcp, raw: raw}
	c.in.do, c.out.do = c.in.read, c.out.write
	return c
}

// An input is the arguments and the result of a read. It is kept because a closure
// for each would be an allocation.
type input struct {
	mu    sync.Mutex
	do    func(fd uintptr) bool
	p     []byte
	n     int
	errno syscall.Errno
	// turn counts the reads since the last ordinary one. flags are those of recv(2).
	turn  int
	flags uintptr
	one   [1]byte
}

// read reports whether the call is done, else it waits for the poller.
func (in *input) read(fd uintptr) bool {
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(in.p))), uintptr(len(in.p)), in.flags, 0, 0)
		switch errno {
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return false
		case 0:
			in.n = int(n)
		}
		in.errno = errno
		return true
	}
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	in := &c.in
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.turn++; in.turn == tellEvery || len(p) == 0 || len(p) >= tellFrom {
		in.turn = 0
		return c.TCPConn.Read(p)
	}
	in.p, in.n, in.errno, in.flags = p, 0, 0, 0
	err := c.raw.Read(in.do)
	in.p = nil
	switch {
	case err != nil:
		return 0, c.wrapped("read", err)
	case in.errno != 0:
		return 0, c.failed("read", in.errno)
	case in.n == 0:
		return 0, io.EOF
	}
	return in.n, nil
}

// AwaitInput waits until there is something to read: bytes, the end, or an error. It
// reads nothing, and needs less stack than a Read through TLS: who waits for long
// holds less memory. Its error is that of the deadline for reading, or of Close.
func (c *Conn) AwaitInput() error {
	in := &c.in
	in.mu.Lock()
	defer in.mu.Unlock()
	in.p, in.flags = in.one[:], syscall.MSG_PEEK
	err := c.raw.Read(in.do)
	in.p = nil
	if err != nil {
		return c.wrapped("read", err)
	}
	return nil
}

// An output is the arguments and the result of a write; see input.
type output struct {
	mu    sync.Mutex
	do    func(fd uintptr) bool
	p     []byte
	flags uintptr
	errno syscall.Errno
}

// write goes on until all is written, and then reports true. It reports false for
// the poller to wait until there is room.
func (out *output) write(fd uintptr) bool {
	for len(out.p) > 0 {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(out.p))), uintptr(len(out.p)), out.flags, 0, 0)
		switch errno {
		case 0:
			out.p = out.p[n:]
		case syscall.EINTR:
		case syscall.EAGAIN:
			return false
		default:
			out.errno = errno
			return true
		}
	}
	return true
}

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (int, error) { return c.send(p, syscall.MSG_NOSIGNAL) }

// WriteMore is Write for what is followed by more: the kernel may keep it, for a
// fifth of a second at most, to send it together with that. Several TLS records
// cost one pass through the network stack.
func (c *Conn) WriteMore(p []byte) (int, error) { return c.send(p, syscall.MSG_NOSIGNAL|msgMore) }

// msgMore is MSG_MORE, which package syscall lacks; see send(2).
const msgMore = 0x8000

func (c *Conn) send(p []byte, flags uintptr) (int, error) {
	out := &c.out
	out.mu.Lock()
	defer out.mu.Unlock()
	if len(p) >= tellFrom {
		return c.TCPConn.Write(p)
	}
	out.p, out.flags, out.errno = p, flags, 0
	err := c.raw.Write(out.do)
	n := len(p) - len(out.p)
	out.p = nil
	switch {
	case err != nil:
		return n, c.wrapped("write", err)
	case out.errno != 0:
		return n, c.failed("write", out.errno)
	}
	return n, nil
}

// WriteBuffers is [net.Buffers.WriteTo] of v: it sends several slices in one system
// call.
func (c *Conn) WriteBuffers(v *net.Buffers) (int64, error) {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return v.WriteTo(c.TCPConn)
}

// failed is the error that package net gives for errno.
func (c *Conn) failed(op string, errno syscall.Errno) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError(op, errno)}
}

// wrapped gives an error of the raw connection the operation that it belongs to.
func (c *Conn) wrapped(op string, err error) error {
	if e, ok := errors.AsType[*net.OpError](err); ok {
		e.Op = op
	}
	return err
}

// Peek reads what can be read from the socket fd at once, and leaves it there.
func Peek(fd uintptr, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
		syscall.MSG_PEEK|syscall.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}
