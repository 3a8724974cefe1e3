//go:build soak && linux

//lint:file-ignore SA1019 net/http's ClientConn has no PING and no extended CONNECT, x/net's has both.

package soak

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
)

// stuckAfter is the usual patience of a client.
const stuckAfter = 25 * time.Second

// A protocol is how a client speaks to Cardea.
type protocol struct {
	name    string
	tls, h2 bool
}

var (
	plainH1 = protocol{"h1", false, false}
	tlsH1   = protocol{"h1 TLS", true, false}
	plainH2 = protocol{"h2c", false, true}
	tlsH2   = protocol{"h2 TLS", true, true}

	allProtocols = []protocol{plainH1, tlsH1, plainH2, tlsH2}
)

// A wire is one client connection. Unlike net/http's Transport it never tries
// anything again: what the client sees is what happened. That of HTTP/2 carries
// exchanges side by side.
type wire struct {
	conn net.Conn
	read *bufio.Reader     // HTTP/1.1
	h2   *http2.ClientConn // HTTP/2
	dead atomic.Bool       // it cannot carry another exchange

	// patience is when an exchange that has not ended counts as stuck.
	patience time.Duration
}

// dial opens a connection; config is for TLS.
func (p protocol) dial(plain, secure string, config *tls.Config) (*wire, error) {
	addr := plain
	if p.tls {
		addr = secure
	}
	conn, err := (&net.Dialer{Timeout: stuckAfter}).Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	if p.tls {
		config = config.Clone()
		config.NextProtos = []string{"http/1.1"}
		if p.h2 {
			config.NextProtos = []string{"h2"}
		}
		secured := tls.Client(conn, config)
		_ = conn.SetDeadline(time.Now().Add(stuckAfter))
		if err := secured.Handshake(); err != nil {
			conn.Close()
			return nil, err
		}
		_ = conn.SetDeadline(time.Time{})
		conn = secured
	}
	w := &wire{conn: conn, patience: stuckAfter}
	if !p.h2 {
		w.read = bufio.NewReaderSize(conn, 16<<10)
		return w, nil
	}
	transport := &http2.Transport{DisableCompression: true, AllowHTTP: true, MaxReadFrameSize: 64 << 10}
	if w.h2, err = transport.NewClientConn(conn); err != nil {
		conn.Close()
		return nil, err
	}
	return w, nil
}

// close closes the connection. Over HTTP/2 it waits for an answer to a PING, if the
// connection still works: then everything before it was read, and Cardea knows of
// every request.
func (w *wire) close() {
	w.dead.Store(true)
	if w.h2 != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stuckAfter)
		_ = w.h2.Ping(ctx)
		cancel()
	}
	w.conn.Close()
}

// usable reports whether another exchange may begin.
func (w *wire) usable() bool {
	return !w.dead.Load() && (w.h2 == nil || w.h2.CanTakeNewRequest())
}

// An exchange is one request on a wire and its answer.
type exchange struct {
	w     *wire
	res   *http.Response
	wrote chan struct{} // HTTP/1.1: closed when the request is written, or cannot be
	body  io.Closer     // of the request; nil if it has none
}

// begin sends a request and waits for the head of the answer. The exchange is to
// be finished, also where begin fails. The context of req bounds it over HTTP/2.
func (w *wire) begin(req *http.Request) (*exchange, error) {
	x := &exchange{w: w, wrote: make(chan struct{})}
	if req.Body != nil {
		x.body = req.Body
	}
	var err error
	if w.h2 != nil {
		close(x.wrote)
		x.res, err = w.h2.RoundTrip(req)
		return x, err
	}
	_ = w.conn.SetDeadline(time.Now().Add(w.patience))
	if req.Body == nil {
		defer close(x.wrote)
		if err = req.Write(w.conn); err != nil {
			w.dead.Store(true) // there may be an answer all the same
		}
	} else {
		go func() {
			defer close(x.wrote)
			if req.Write(w.conn) != nil {
				w.dead.Store(true)
			}
		}()
	}
	x.res, err = http.ReadResponse(w.read, req)
	if err != nil || x.res.Close {
		w.dead.Store(true)
	}
	return x, err
}

// finish ends an exchange whose answer was read as far as the client wants it.
// whole says that it was read to its end: the wire can carry another one.
func (x *exchange) finish(whole bool) {
	if x.w.h2 != nil {
		if x.res != nil {
			x.res.Body.Close()
		}
		return
	}
	select {
	case <-x.wrote:
	default:
		whole = false // an early answer: the rest of the request has no use
	}
	if !whole {
		x.w.close()
	}
	if x.body != nil {
		x.body.Close()
	}
	<-x.wrote
}

// timedOut reports whether err is that of the client's patience.
func timedOut(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
