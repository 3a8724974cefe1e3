package upstream

import (
	"bufio"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }

// An idle connection of TLS that has got a session ticket is alive; one that has got
// data is not, wherever the data waits; nor is one that was closed.
func TestIdleTLS(t *testing.T) {
	root := newAuthority(t, "root", nil)
	config := &tls.Config{Certificates: []tls.Certificate{root.issue(t, "web", nil)}}
	u := &snapshot.UpstreamTLS{ServerName: "web", Authorities: root.authorities(t)}

	t.Run("tickets", func(t *testing.T) {
		srv := newTLSServer(t, config, nil)
		c := get(t, newTLSWorld(t, nil).pool(u, srv.addr))
		defer c.Done()
		if err := c.Head(nil); err != nil { // the server completes its handshake
			t.Fatal(err)
		}
		if c.secure.wire.raw.Read(c.secure.wire.readable) != nil {
			t.Fatal("nothing came")
		}
		// The tickets and the answer are in the socket: the first look takes the
		// tickets, and whatever it finds next it must not take for nothing.
		if seen := c.secure.look(unexpectedData); seen == closedByPeer {
			t.Errorf("look = %v, want tickets to be read", seen)
		}
	})
	t.Run("tickets alone", func(t *testing.T) {
		srv := newTLSServer(t, config, nil)
		w := newTLSWorld(t, nil)
		p := w.pool(u, srv.addr)
		c := get(t, p)
		// A server of crypto/tls that asks for no certificate sends its tickets with
		// its part of the handshake: they have been read, and wait in crypto/tls.
		for range 2 {
			if seen := c.look(); seen != alive {
				t.Errorf("look with tickets in the socket = %v, want alive", seen)
			}
		}
		if err := c.Head(nil); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Response(nil); err != nil {
			t.Errorf("Response after the tickets = %v", err)
		}
		c.Done()
		if !mustExchange(t, p) {
			t.Error("the connection was not reused")
		}
	})
	t.Run("data in the socket", func(t *testing.T) {
		srv := newTLSServer(t, config, nil)
		p := newTLSWorld(t, nil).pool(u, srv.addr)
		mustExchange(t, p)
		srv.each(func(c net.Conn) { _, _ = io.WriteString(c, "early\n") })
		if mustExchange(t, p) {
			t.Error("a connection with unexpected data was reused")
		}
		if st := p.Stats(); st.Unexpected != 1 {
			t.Errorf("Stats() = %+v, want one with unexpected data", st)
		}
	})
	t.Run("data behind the answer, in one segment", func(t *testing.T) {
		srv := startServer(t, func([]byte) string { return "" }, func(l net.Listener) net.Listener { return stutterListener{l, config} })
		p := newTLSWorld(t, nil).pool(u, srv.addr)
		mustExchange(t, p)
		if mustExchange(t, p) {
			t.Error("a connection with data that was read ahead was reused")
		}
		if st := p.Stats(); st.Unexpected != 1 {
			t.Errorf("Stats() = %+v, want one with unexpected data", st)
		}
	})
	t.Run("closed", func(t *testing.T) {
		srv := newTLSServer(t, config, nil)
		p := newTLSWorld(t, nil).pool(u, srv.addr)
		mustExchange(t, p)
		srv.each(func(c net.Conn) { _ = c.(*tls.Conn).CloseWrite() }) // close_notify, and no FIN yet
		if mustExchange(t, p) {
			t.Error("a connection that the endpoint has closed was reused")
		}
		if st := p.Stats(); st.Closed != 1 {
			t.Errorf("Stats() = %+v, want one closed", st)
		}
	})
}

// stutterListener answers each line with two records in one segment: the answer and
// another line, which nobody asked for.
type stutterListener struct {
	net.Listener
	config *tls.Config
}

func (l stutterListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	held := &heldConn{Conn: nc, w: bufio.NewWriterSize(nc, 1<<16)}
	c := tls.Server(held, l.config)
	if err := c.Handshake(); err != nil {
		return c, nil
	}
	held.hold = true
	go func() {
		for r := bufio.NewReader(c); ; {
			if _, err := r.ReadString('\n'); err != nil {
				return
			}
			_, _ = io.WriteString(c, "ok\n")
			_, _ = io.WriteString(c, "stale\n")
			_ = held.w.Flush()
		}
	}()
	return idleConn{c}, nil
}

// heldConn gathers what is written once hold is set.
type heldConn struct {
	net.Conn
	w    *bufio.Writer
	hold bool
}

func (c *heldConn) Write(p []byte) (int, error) {
	if c.hold {
		return c.w.Write(p)
	}
	return c.Conn.Write(p)
}

// idleConn is read by somebody else.
type idleConn struct{ net.Conn }

func (c idleConn) Read([]byte) (int, error) { return 0, io.EOF }
func (c idleConn) Close() error             { return nil }

// The boundaries of records are found however they arrive.
func TestWireFollowsRecords(t *testing.T) {
	record := func(n int) []byte { return append([]byte{23, 3, 3, byte(n >> 8), byte(n)}, make([]byte, n)...) }
	stream := append(append(append(record(3), record(0)...), record(300)...), record(1)...)
	ends := map[int]bool{0: true, 8: true, 13: true, 318: true, 324: true}
	for size := 1; size <= len(stream); size++ {
		w := &wire{}
		for at := 0; at < len(stream); at += size {
			end := min(at+size, len(stream))
			w.follow(stream[at:end])
			// It is ahead if some record ends within what was read, not at its end.
			want := false
			for e := range ends {
				want = want || e > at && e < end
			}
			if w.ahead != want {
				t.Fatalf("reads of %d, at %d: ahead = %v, want %v", size, end, w.ahead, want)
			}
		}
		if w.have != 0 || w.rest != 0 {
			t.Errorf("reads of %d: %d bytes of a header and %d to come at the end, want 0", size, w.have, w.rest)
		}
	}
}

// Over TLS an exchange allocates what crypto/tls does for each record that is read,
// by us and by the server of the test, and nothing else.
func TestTLSAllocations(t *testing.T) {
	root := newAuthority(t, "root", nil)
	once := func(p *Pool) func() {
		return func() {
			if reused := mustExchange(t, p); !reused {
				t.Error("not reused")
			}
		}
	}
	plainServer, secureServer := newServer(t, nil), newTLSServer(t, &tls.Config{Certificates: []tls.Certificate{root.issue(t, "web", nil)}}, nil)
	w := newTLSWorld(t, nil)
	plain := newPoolOf(t, w.Set, plainServer.addr)
	secure := w.pool(&snapshot.UpstreamTLS{ServerName: "web", Authorities: root.authorities(t)}, secureServer.addr)
	mustExchange(t, plain)
	mustExchange(t, secure)
	before, after := testing.AllocsPerRun(200, once(plain)), testing.AllocsPerRun(200, once(secure))
	if after-before > 2 && !raceEnabled {
		t.Errorf("an exchange allocates %v times in plain text and %v times over TLS, want at most 2 more", before, after)
	}
}

// HTTP/1.1 over TLS against net/http's server.
func TestHTTP1OverTLS(t *testing.T) {
	root := newAuthority(t, "root", nil)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "hello")
	}))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{root.issue(t, "web", nil)}}
	srv.Config.ErrorLog = discardLog()
	srv.StartTLS()
	t.Cleanup(srv.Close)
	w := newTLSWorld(t, func(c *Config) { c.Stream = nil })
	p := w.pool(&snapshot.UpstreamTLS{ServerName: "web", Authorities: root.authorities(t)}, netip.MustParseAddrPort(srv.Listener.Addr().String()))
	for i := range 10 {
		if err := fetch(t.Context(), p, newRequest("a.example")); err != nil {
			t.Fatalf("exchange %d: %v", i, err)
		}
	}
	if st := p.Stats(); st.Dials != 1 || st.Reuses != 9 {
		t.Errorf("Stats() = %+v, want 1 dial, 9 reuses", st)
	}
	if o := w.last(t); o.ALPN != "http/1.1" {
		t.Errorf("ALPN = %q, want http/1.1", o.ALPN)
	}
}

// The wait for a judgement on our certificate ends by itself.
func TestConfirmEnds(t *testing.T) {
	root := newAuthority(t, "root", nil)
	srv := newTLSServer(t, &tls.Config{
		Certificates: []tls.Certificate{root.issue(t, "web", nil)}, ClientAuth: tls.RequireAnyClientCert, SessionTicketsDisabled: true,
	}, nil)
	w := newTLSWorld(t, nil)
	p := w.pool(&snapshot.UpstreamTLS{ServerName: "web", Authorities: root.authorities(t), Certificate: certificate(t, root.issue(t, "client", nil))}, srv.addr)
	start := time.Now()
	mustExchange(t, p)
	if took := time.Since(start); took < confirmTime {
		t.Errorf("the first exchange took %v, want the %v that a server without tickets costs", took, confirmTime)
	}
	if !mustExchange(t, p) {
		t.Error("the connection was not reused")
	}
}
