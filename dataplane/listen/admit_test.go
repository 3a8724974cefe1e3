package listen

import (
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// restrict puts a connection policy in force.
func (w *world) restrict(p *snapshot.ConnectionPolicy) {
	w.Helper()
	spec := *w.snap.Load().Spec
	spec.Connections = p
	w.publish(&spec)
}

func prefixes(list ...string) (p []netip.Prefix) {
	for _, s := range list {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}

// refused connects and wants the connection turned away for that reason.
func (w *world) refused(send []byte, want outcome.Reason) outcome.Handshake {
	w.Helper()
	// A reset may overtake the end of the dial.
	if c, err := net.Dial("tcp", w.l.Addr().String()); err == nil {
		_, _ = c.Write(send)
		if got := readAll(c); len(got) > 0 {
			w.Errorf("the client got %q, want nothing", got)
		}
		c.Close()
	}
	return w.want(outcome.Filtered, want)
}

// welcomed connects, sends header before the handshake, and wants to be served.
func (w *world) welcomed(header []byte) outcome.Conn {
	w.Helper()
	c := w.dial()
	if _, err := c.Write(header); err != nil {
		w.Fatal(err)
	}
	tc := tls.Client(c, client("ec.example.com"))
	if err := ping(tc); err != nil {
		w.Fatalf("after the header %.40q: %v, want to be served", header, err)
	}
	tc.Close()
	w.handshake()
	got := w.conn()
	if got.Reason != outcome.OK || got.TLS == nil || got.TLS.Result != outcome.Done {
		w.Errorf("connection = %+v, want ok, handshake done", got)
	}
	return got
}

func TestRow60AddressesAreAllowedAndDenied(t *testing.T) {
	w := newWorld(t, nil)
	w.welcomed(nil)
	for _, test := range []struct {
		policy snapshot.ConnectionPolicy
		want   outcome.Reason
	}{
		{snapshot.ConnectionPolicy{Deny: prefixes("127.0.0.0/8")}, outcome.FilteredDenied},
		{snapshot.ConnectionPolicy{Allow: prefixes("127.0.0.0/8"), Deny: prefixes("127.0.0.1/32")}, outcome.FilteredDenied},
		{snapshot.ConnectionPolicy{Allow: prefixes("192.0.2.0/24")}, outcome.FilteredNotAllowed},
		{snapshot.ConnectionPolicy{Allow: prefixes("192.0.2.0/24", "127.0.0.0/8"), Deny: prefixes("192.0.2.0/24")}, outcome.OK},
	} {
		// Each is in force for the next connection.
		w.restrict(&test.policy)
		if test.want == outcome.OK {
			w.welcomed(nil)
			continue
		}
		if h := w.refused(nil, test.want); h.BytesIn != 0 || h.HelloSeen {
			t.Errorf("%s: handshake = %+v, want nothing read", test.want, h)
		}
	}
	w.restrict(nil)
	w.welcomed(nil)
	if n := w.l.handshakes.Load(); n != 0 {
		t.Errorf("%d handshakes still count, want 0", n)
	}
}

func TestRow60ConnectionsAreLimited(t *testing.T) {
	w := newWorld(t, nil)
	w.restrict(&snapshot.ConnectionPolicy{MaxPerAddress: 1})
	tc := tls.Client(w.dial(), client("ec.example.com"))
	if err := ping(tc); err != nil {
		t.Fatal(err)
	}
	w.handshake()
	w.refused(nil, outcome.FilteredConcurrent)
	tc.Close()
	w.conn()
	w.until(func() bool { return w.l.Open() == 0 })
	w.welcomed(nil)
	w.until(func() bool { return w.l.Open() == 0 })

	w.restrict(&snapshot.ConnectionPolicy{NewPerSecondPerAddress: 1e-6, Burst: 1})
	w.welcomed(nil)
	w.refused(nil, outcome.FilteredRate)
	w.until(func() bool { return w.l.Open() == 0 })

	// Connections that were open before the limit was set count.
	w.restrict(nil)
	c := tls.Client(w.dial(), client("ec.example.com"))
	if err := ping(c); err != nil {
		t.Fatal(err)
	}
	w.handshake()
	w.restrict(&snapshot.ConnectionPolicy{Max: 1})
	w.refused(nil, outcome.FilteredMax)
	c.Close()
	w.conn()
	w.until(func() bool { return w.l.Open() == 0 })
	w.welcomed(nil)
}

func TestRow60RealAddressByPROXY(t *testing.T) {
	w := newWorld(t, nil)
	w.restrict(&snapshot.ConnectionPolicy{ProxyProtocol: prefixes("127.0.0.0/8"), Deny: prefixes("192.0.2.66/32", "127.0.0.0/8")})
	for _, header := range []string{
		"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n",
		string(AppendProxyHeader(nil, client4, local4)),
	} {
		got := w.welcomed([]byte(header))
		if got.Remote != client4 || got.Local != local4 || !got.Proxy.Addr().IsLoopback() || got.BytesIn <= int64(len(header)) {
			t.Errorf("after %q: connection = %+v, want from %v to %v by 127.0.0.1, the header counted", header, got, client4, local4)
		}
	}
	// Deny is for the client, not for the load balancer that names it, and for the
	// load balancer where it speaks for itself.
	w.refused([]byte("PROXY TCP4 192.0.2.66 198.51.100.1 56324 443\r\n"), outcome.FilteredDenied)
	w.refused(v2(0x20, 0), outcome.FilteredDenied)
	w.restrict(&snapshot.ConnectionPolicy{ProxyProtocol: prefixes("127.0.0.0/8")})
	if got := w.welcomed(v2(0x20, 0)); !got.Remote.Addr().IsLoopback() || got.Proxy.IsValid() {
		t.Errorf("after LOCAL: connection = %+v, want from the load balancer itself", got)
	}
	for _, hostile := range [][]byte{
		[]byte("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"), // TLS without a header
		[]byte("PROXY TCP4 192.0.2.1 198.51.100.1 99999 443\r\n"),
		v2(0x21, 0x11, []byte{1, 2, 3}),
	} {
		if h := w.refused(hostile, outcome.FilteredProxyHeader); h.Err == "" {
			t.Errorf("after %q: no text says what is wrong", hostile)
		}
	}
	// Somebody who is not trusted is not believed: the header is no TLS.
	w.restrict(&snapshot.ConnectionPolicy{ProxyProtocol: prefixes("192.0.2.0/24")})
	c := w.dial()
	_, _ = c.Write([]byte("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"))
	readAll(c)
	if h := w.want(outcome.Failed, outcome.NotTLS); !h.Conn.Remote.Addr().IsLoopback() || h.Conn.Proxy.IsValid() {
		t.Errorf("connection = %+v, want the peer's address", h.Conn)
	}
}

// TestRow60PROXYOnAPlainListener sends header and request in one piece, so that
// what follows the header was read ahead.
func TestRow60PROXYOnAPlainListener(t *testing.T) {
	w := newWorld(t, func(cfg *Config) { cfg.Name, cfg.TLS = "http", false })
	w.restrict(&snapshot.ConnectionPolicy{ProxyProtocol: prefixes("127.0.0.0/8")})
	for _, header := range []string{"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n", string(AppendProxyHeader(nil, client4, local4))} {
		c := w.dial()
		if _, err := c.Write([]byte(header + "ping")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
		if err := ping(c); err != nil {
			t.Fatal(err)
		}
		c.Close()
		if got := w.conn(); got.Reason != outcome.OK || got.Remote != client4 || got.BytesIn != int64(len(header))+8 || got.Requests != 2 {
			t.Errorf("connection = %+v, want ok, from %v, %d bytes, 2 requests", got, client4, len(header)+8)
		}
	}
	c := w.dial()
	_, _ = c.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
	readAll(c)
	if got := w.conn(); got.Reason != outcome.FilteredProxyHeader {
		t.Errorf("connection = %s, want filtered_proxy_header", got.Reason)
	}
	// A load balancer that looks whether the port is open is no trouble.
	w.dial().Close()
	if got := w.conn(); got.Reason != outcome.OK {
		t.Errorf("connection = %s, want ok", got.Reason)
	}
}

// from gives an in-memory connection an address.
type from struct {
	net.Conn
	addr string
}

func (f from) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(f.addr)) }

func TestRow60PROXYHeaderHasATime(t *testing.T) {
	for _, test := range []struct {
		send   string
		after  time.Duration
		policy time.Duration
		result outcome.Result
		reason outcome.Reason
	}{
		{"", 5 * time.Second, 0, outcome.Timeout, outcome.TimeoutSilent},
		{"PROXY TCP4 192.0.2.1 ", 5 * time.Second, 0, outcome.Filtered, outcome.FilteredProxyHeader},
		{"PROXY TCP4 192.0.2.1 ", time.Second, time.Second, outcome.Filtered, outcome.FilteredProxyHeader},
		// With a header the client has the rest of the time for its first byte.
		{"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n", 10 * time.Second, 0, outcome.Timeout, outcome.TimeoutSilent},
		{"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n\x16", time.Minute, 0, outcome.Timeout, outcome.TimeoutPartial},
	} {
		synctest.Test(t, func(t *testing.T) {
			w, ln := newPipeWorld(t, nil)
			defer w.l.Close()
			w.restrict(&snapshot.ConnectionPolicy{ProxyProtocol: prefixes("10.0.0.0/8"), ProxyTimeout: test.policy})
			begin := time.Now()
			client, server := net.Pipe()
			defer client.Close()
			ln.conns <- from{server, "10.0.0.1:4711"}
			if test.send != "" {
				if _, err := client.Write([]byte(test.send)); err != nil {
					t.Fatal(err)
				}
			}
			h := w.want(test.result, test.reason)
			if took := time.Since(begin); took != test.after || h.Err == "" {
				t.Errorf("after %q: %v (%s), want after %v", test.send, took, h.Err, test.after)
			}
		})
	}
}

func TestRow62AdmitOfTheEmbedder(t *testing.T) {
	var answer atomic.Value
	answer.Store(outcome.OK)
	w := newWorld(t, func(cfg *Config) {
		cfg.Admit = func(c *outcome.Conn) outcome.Reason {
			c.Stamp = c.Remote.String()
			return answer.Load().(outcome.Reason)
		}
		cfg.Handler = func(c net.Conn, info *outcome.Conn) {
			if info.Stamp != info.Remote.String() {
				t.Errorf("Stamp = %v, want what Admit set", info.Stamp)
			}
			echo(c, info)
		}
	})
	w.welcomed(nil)
	answer.Store(outcome.FilteredDenied)
	w.refused(nil, outcome.FilteredDenied)
	answer.Store(outcome.Reason("a word of its own"))
	if h := w.refused(nil, outcome.FilteredOther); h.Err != "a word of its own" {
		t.Errorf("Err = %q, want what Admit said", h.Err)
	}
	// It is asked after the policy, about the real address.
	w.restrict(&snapshot.ConnectionPolicy{ProxyProtocol: prefixes("127.0.0.0/8")})
	answer.Store(outcome.OK)
	if got := w.welcomed(AppendProxyHeader(nil, client4, local4)); got.Stamp != client4.String() {
		t.Errorf("Stamp = %v, want %v", got.Stamp, client4)
	}
}

// TestRow61WithoutAPolicyNothingIsPaid: a nil policy and no Admit cost no memory;
// BenchmarkAdmit shows what they cost in time.
func TestRow61WithoutAPolicyNothingIsPaid(t *testing.T) {
	w := prepare(t)
	l := newListener(w.config(nil).withDefaults(), &pipeListener{closed: make(chan struct{})})
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	c := l.newConn(server)
	if n := testing.AllocsPerRun(100, func() { l.admit(c) }); n != 0 {
		t.Errorf("admit allocates %v times, want never", n)
	}
	if all, _ := l.cfg.Limits.idlePlaces(); all != 0 {
		t.Errorf("%d places, want none", all)
	}
}

func BenchmarkAdmit(b *testing.B) {
	for name, policy := range map[string]*snapshot.ConnectionPolicy{
		"none":   nil,
		"lists":  {Allow: prefixes("10.0.0.0/8"), Deny: prefixes("10.1.0.0/16", "192.0.2.0/24")},
		"limits": {MaxPerAddress: 100, NewPerSecondPerAddress: 1e9},
	} {
		b.Run(name, func(b *testing.B) {
			w := prepare(b)
			w.restrict(policy)
			l := newListener(w.config(nil).withDefaults(), &pipeListener{closed: make(chan struct{})})
			_, server := net.Pipe()
			defer server.Close()
			c := l.newConn(from{server, "10.0.0.1:4711"})
			b.ReportAllocs()
			for b.Loop() {
				if f := l.admit(c); f.reason != outcome.OK {
					b.Fatal(f)
				}
				c.place.give()
			}
		})
	}
}
