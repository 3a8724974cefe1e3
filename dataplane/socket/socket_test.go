package socket_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/socket"
)

// pair returns both ends of a TCP connection, closed when the test ends.
func pair(t testing.TB) (near, far *net.TCPConn) {
	t.Helper()
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if near, err = net.DialTCP("tcp", nil, ln.Addr().(*net.TCPAddr)); err != nil {
		t.Fatal(err)
	}
	if far, err = ln.AcceptTCP(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = near.Close()
		_ = far.Close()
	})
	return near, far
}

// run runs f with a connection of package net and with one of ours: whatever f
// asks of the one, the other has to do as well.
func run(t *testing.T, f func(t *testing.T, c net.Conn, far *net.TCPConn)) {
	t.Run("net", func(t *testing.T) {
		near, far := pair(t)
		f(t, near, far)
	})
	t.Run("socket", func(t *testing.T) {
		near, far := pair(t)
		f(t, socket.Wrap(near), far)
	})
}

func TestReadReturnsWhatIsThere(t *testing.T) {
	run(t, func(t *testing.T, c net.Conn, far *net.TCPConn) {
		buf := make([]byte, 64)
		for i := range 300 { // beyond the reads that are made in the ordinary way
			want := fmt.Sprintf("message %d", i)
			if _, err := far.Write([]byte(want)); err != nil {
				t.Fatal(err)
			}
			n, err := c.Read(buf)
			if got := string(buf[:n]); got != want || err != nil {
				t.Fatalf("Read = %q, %v, want %q", got, err, want)
			}
		}
		if n, err := c.Read(nil); n != 0 || err != nil {
			t.Errorf("Read of nothing = %d, %v, want 0, nil", n, err)
		}
		_ = far.CloseWrite()
		if n, err := c.Read(buf); n != 0 || err != io.EOF {
			t.Errorf("Read after the end = %d, %v, want 0, io.EOF itself", n, err)
		}
	})
}

func TestReadWaits(t *testing.T) {
	run(t, func(t *testing.T, c net.Conn, far *net.TCPConn) {
		got := make(chan string)
		go func() {
			buf := make([]byte, 64)
			n, _ := c.Read(buf)
			got <- string(buf[:n])
		}()
		if _, err := far.Write([]byte("late")); err != nil {
			t.Fatal(err)
		}
		if s := <-got; s != "late" {
			t.Errorf("Read = %q, want %q", s, "late")
		}
	})
}

// checkError holds an error against what package net says, word by word but for
// the ports.
func checkError(t *testing.T, c net.Conn, got error, op string, is error) {
	t.Helper()
	oe, ok := errors.AsType[*net.OpError](got)
	if !ok || oe.Op != op || oe.Net != "tcp" || oe.Addr == nil || !errors.Is(got, is) {
		t.Fatalf("error = %#v, want a *net.OpError of %s that is %v", got, op, is)
	}
	want := fmt.Sprintf("%s tcp %s->%s: ", op, c.LocalAddr(), c.RemoteAddr())
	if !strings.HasPrefix(got.Error(), want) {
		t.Errorf("error = %q, want prefix %q", got, want)
	}
}

func TestDeadlines(t *testing.T) {
	run(t, func(t *testing.T, c net.Conn, far *net.TCPConn) {
		_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
		_, err := c.Read(make([]byte, 1))
		checkError(t, c, err, "read", os.ErrDeadlineExceeded)
		_, err = c.Read(make([]byte, 1))
		checkError(t, c, err, "read", os.ErrDeadlineExceeded)

		// More than the buffers of both sockets take: what fits is counted.
		go func() {
			_, _ = far.Read(make([]byte, 1)) // it has begun
			_ = c.SetWriteDeadline(time.Now().Add(time.Millisecond))
		}()
		n, err := c.Write(make([]byte, 64<<20))
		checkError(t, c, err, "write", os.ErrDeadlineExceeded)
		if n <= 0 || n >= 64<<20 {
			t.Errorf("Write = %d, want the number of bytes that the socket took", n)
		}
	})
}

func TestCloseEndsWhatWaits(t *testing.T) {
	run(t, func(t *testing.T, c net.Conn, far *net.TCPConn) {
		failed := make(chan error)
		go func() {
			_, err := far.Write([]byte("x"))
			failed <- err
		}()
		go func() {
			buf := make([]byte, 1)
			_, _ = c.Read(buf)
			failed <- nil // it reads, and will wait next
			_, err := c.Read(buf)
			failed <- err
		}()
		<-failed
		<-failed
		_ = c.Close()
		checkError(t, c, <-failed, "read", net.ErrClosed)
		_, err := c.Write([]byte("x"))
		checkError(t, c, err, "write", net.ErrClosed)
	})
}

func TestReset(t *testing.T) {
	run(t, func(t *testing.T, c net.Conn, far *net.TCPConn) {
		_ = far.SetLinger(0)
		_ = far.Close()
		_, err := c.Read(make([]byte, 1))
		checkError(t, c, err, "read", syscall.ECONNRESET)
		if want := "read: connection reset by peer"; !strings.HasSuffix(err.Error(), want) {
			t.Errorf("error = %q, want suffix %q", err, want)
		}
		_, err = c.Write([]byte("x"))
		checkError(t, c, err, "write", syscall.EPIPE)
	})
}

// Writes arrive whole and unmixed, whoever makes them, also when they are larger
// than the buffers of the sockets.
func TestConcurrentWrites(t *testing.T) {
	run(t, func(t *testing.T, c net.Conn, far *net.TCPConn) {
		for _, size := range []int{100 << 10, 8 << 20} {
			var writers sync.WaitGroup
			for _, b := range []byte("ab") {
				writers.Go(func() {
					if n, err := c.Write(bytes.Repeat([]byte{b}, size)); n != size || err != nil {
						t.Errorf("Write = %d, %v, want %d", n, err, size)
					}
				})
			}
			got := make([]byte, 2*size)
			if _, err := io.ReadFull(far, got); err != nil {
				t.Fatal(err)
			}
			writers.Wait()
			runs := len(slices.CompactFunc(got, func(a, b byte) bool { return a == b }))
			if runs != 2 {
				t.Errorf("%d bytes came in %d runs, want 2: writes are mixed", size, runs)
			}
		}
	})
}

func TestWrapLeavesOthersAlone(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if got := socket.Wrap(a); got != a {
		t.Errorf("Wrap(pipe) = %T, want the pipe itself", got)
	}
}

// A wrapped connection still does what callers ask of a *net.TCPConn by interface.
func TestKeepsTheMethodsOfTCP(t *testing.T) {
	near, _ := pair(t)
	c := socket.Wrap(near)
	if _, ok := c.(interface {
		CloseWrite() error
		SetLinger(sec int) error
		SyscallConn() (syscall.RawConn, error)
		io.ReaderFrom
	}); !ok {
		t.Errorf("%T lacks methods of a TCP connection", c)
	}
}

func TestAllocations(t *testing.T) {
	near, far := pair(t)
	c := socket.Wrap(near)
	buf, msg := make([]byte, 64), []byte("hello")
	allocs := testing.AllocsPerRun(200, func() {
		if _, err := c.Write(msg); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(far, buf[:len(msg)]); err != nil {
			t.Fatal(err)
		}
		if _, err := far.Write(msg); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, buf[:len(msg)]); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Errorf("a write and a read allocate %v times, want 0", allocs)
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	for _, kind := range []string{"net", "socket"} {
		b.Run(kind, func(b *testing.B) {
			near, far := pair(b)
			c := net.Conn(near)
			if kind == "socket" {
				c = socket.Wrap(near)
			}
			go func() { _, _ = io.Copy(far, far) }()
			buf := make([]byte, 64)
			for b.Loop() {
				if _, err := c.Write(buf); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(c, buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
