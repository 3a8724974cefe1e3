package proxy

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
	"github.com/google/go-cmp/cmp"
)

// headOf returns the lines of the head that an endpoint gets for one that a
// client sends. fields are "Name: value".
func headOf(t *testing.T, x *Exchange, fields ...string) []string {
	t.Helper()
	in := x.in
	for _, line := range fields {
		name, value, _ := strings.Cut(line, ": ")
		in.Fields.AddName(name, value)
	}
	if err := x.early(); err != nil {
		t.Fatalf("early() = %v, want nil", err)
	}
	if err := x.upstreamRequest(); err != nil {
		t.Fatalf("upstreamRequest() = %v, want nil", err)
	}
	lines := []string{x.req.Method + " " + string(x.req.Target)}
	for f := range x.req.Fields.All() {
		if f.ID != message.Lookup(f.Name) {
			t.Errorf("field %q has ID %d, want %d", f.Name, f.ID, message.Lookup(f.Name))
		}
		lines = append(lines, string(f.Name)+": "+string(f.Value))
	}
	return lines
}

// anExchange returns an exchange for "GET target" from 192.0.2.7, which is not
// trusted; 10.0.0.0/8 is.
func anExchange(target string) *Exchange {
	x := newExchange()
	x.proxy = New(Config{ExternalHTTPPort: 80, ExternalHTTPSPort: 443})
	x.conn = &outcome.Conn{
		Remote: netip.MustParseAddrPort("192.0.2.7:1234"),
		Local:  netip.MustParseAddrPort("192.0.2.1:8080"),
	}
	path, query, has := strings.Cut(target, "?")
	x.in = &message.Request{
		Version: message.HTTP11, Method: "GET", Target: []byte(target),
		Path: []byte(path), Query: []byte(query), HasQuery: has, Authority: []byte("Shop.Example:80"),
	}
	x.d = &fakeDownstream{req: x.in, conn: x.conn}
	x.in.Fields.AddName("Host", "Shop.Example:80")
	x.snap = &snapshot.Snapshot{Spec: &snapshot.Spec{TrustedCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}
	x.plan = &plan{phases: compile(snapshot.Policy{}, nil)}
	return x
}

const testID = "abc-1"

func TestUpstreamHead(t *testing.T) {
	trusted := func(x *Exchange) { x.conn.Remote = netip.MustParseAddrPort("10.1.1.1:9") }
	for _, tt := range []struct {
		name   string
		target string
		change func(*Exchange)
		in     []string
		want   []string // besides Host and what every request gets, or all if full
		full   bool
	}{
		{
			name: "what every backend gets", target: "/a?b=%2f", full: true,
			in: []string{"Accept: */*"},
			want: []string{
				"GET /a?b=%2f", "Host: Shop.Example:80", "Accept: */*", "X-Request-ID: abc-1",
				"X-Real-IP: 192.0.2.7", "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Host: Shop.Example:80",
				"X-Forwarded-Port: 80", "X-Forwarded-Proto: http", "X-Forwarded-Scheme: http", "X-Scheme: http",
				"X-Original-Host: Shop.Example:80",
			},
		},
		{name: "normalised path, query untouched", target: "/%61/./b%2f?x=%61", want: []string{"GET /a/b%2F?x=%61"}},
		{name: "empty query is kept", target: "/%61?", want: []string{"GET /a?"}},
		{
			name: "hop by hop", target: "/",
			in: []string{
				"Connection: close, X-Hop , keep-alive", "Keep-Alive: 5", "X-Hop: 1", "x-hop: 2", "Proxy-Connection: x",
				"TE: gzip", "Transfer-Encoding: chunked", "Upgrade: foo", "HTTP2-Settings: AA", "Proxy: http://evil", "X-Stay: 1",
			},
			want: []string{"GET /", "X-Stay: 1"},
		},
		{
			name: "connection cannot name what routes or authorises", target: "/",
			in:   []string{"Connection: host, authorization", "Authorization: Basic x"},
			want: []string{"GET /", "Authorization: Basic x"},
		},
		{
			name: "trailers welcome", target: "/",
			in:   []string{"TE: deflate;q=0.5, trailers"},
			want: []string{"GET /", "Connection: TE", "TE: trailers"},
		},
		{
			name: "upgrade", target: "/", change: func(x *Exchange) { x.in.Upgrade = []byte("websocket") },
			in:   []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: k"},
			want: []string{"GET /", "Sec-WebSocket-Key: k", "Connection: Upgrade", "Upgrade: websocket"},
		},
		{
			name: "no tunnel of HTTP", target: "/", change: func(x *Exchange) { x.in.Upgrade = []byte("H2c") },
			in:   []string{"Connection: Upgrade", "Upgrade: H2c"},
			want: []string{"GET /"},
		},
		{
			name: "underscores", target: "/",
			in:   []string{"X_Real_IP: 6.6.6.6", "a_b: c", "a-b: d"},
			want: []string{"GET /", "a-b: d"},
		},
		{
			name: "claims of anybody", target: "/",
			in: []string{
				"Forwarded: for=6.6.6.6", "X-Forwarded-Prefix: /x", "X-Forwarded-Whatever: 1", "X-Original-URL: /admin",
				"ssl-client-verify: SUCCESS", "SSL-Client-Fingerprint: 00", "X-Real-IP: 6.6.6.6", "X-Forwarded-Proto: https",
				"X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 7.7.7.7",
			},
			want: []string{"GET /", "X-Original-Forwarded-For: 6.6.6.6, 7.7.7.7"},
		},
		{
			name: "claims of a trusted peer", target: "/", change: trusted, full: true,
			in: []string{
				"Forwarded: for=1.2.3.4", "X-Forwarded-For: 6.6.6.6, 1.2.3.4, 10.2.2.2", "X-Forwarded-Proto: https",
				"X-Forwarded-Host: other.example", "X-Forwarded-Port: 8443", "ssl-client-verify: SUCCESS",
			},
			want: []string{
				"GET /", "Host: Shop.Example:80", "Forwarded: for=1.2.3.4", "ssl-client-verify: SUCCESS", "X-Request-ID: abc-1",
				"X-Real-IP: 1.2.3.4", "X-Forwarded-For: 6.6.6.6, 1.2.3.4, 10.2.2.2, 10.1.1.1", "X-Forwarded-Host: other.example",
				"X-Forwarded-Port: 8443", "X-Forwarded-Proto: https", "X-Forwarded-Scheme: https", "X-Scheme: https",
				"X-Original-Host: Shop.Example:80", "X-Original-Forwarded-For: 6.6.6.6, 1.2.3.4, 10.2.2.2",
			},
		},
		{
			name: "max-forwards of OPTIONS", target: "/", change: func(x *Exchange) { x.in.Method = "OPTIONS" },
			in: []string{"Max-Forwards: 10"}, want: []string{"OPTIONS /", "Max-Forwards: 9"},
		},
		{name: "max-forwards of others", target: "/", in: []string{"Max-Forwards: 10"}, want: []string{"GET /", "Max-Forwards: 10"}},
		{
			name: "asterisk", target: "*", change: func(x *Exchange) { x.in.Method = "OPTIONS" },
			want: []string{"OPTIONS *"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := anExchange(tt.target)
			if tt.change != nil {
				tt.change(x)
			}
			got := headOf(t, x, append(tt.in, "X-Request-ID: "+testID)...)
			if !tt.full {
				got = without(got, "Host", "X-Request-ID", "X-Real-IP", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port",
					"X-Forwarded-Proto", "X-Forwarded-Scheme", "X-Scheme", "X-Original-Host")
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("upstream head (-want +got):\n%s", d)
			}
		})
	}
}

func without(lines []string, names ...string) (kept []string) {
	for _, line := range lines {
		name, _, _ := strings.Cut(line, ":")
		drop := false
		for _, n := range names {
			drop = drop || n == name
		}
		if !drop {
			kept = append(kept, line)
		}
	}
	return kept
}

func TestFieldsDropped(t *testing.T) {
	x := anExchange("/")
	headOf(t, x, "a_b: 1", "c_d: 2", "e-f: 3")
	if err := x.upstreamRequest(); err != nil { // a second attempt
		t.Fatal(err)
	}
	if got, want := x.out.FieldsDropped, 2; got != want {
		t.Errorf("FieldsDropped = %d, want %d", got, want)
	}
}

func TestRequestID(t *testing.T) {
	for _, tt := range []struct {
		in   string
		kept bool
	}{
		{"0123-abc", true},
		{strings.Repeat("x", 128), true},
		{strings.Repeat("x", 129), false},
		{"", false},
		{"a b", false},
		{"a\tb", false},
		{"é", false},
	} {
		x := anExchange("/")
		x.in.Fields.AddName("X-Request-ID", tt.in)
		x.identify()
		if got := string(x.id) == tt.in; got != tt.kept {
			t.Errorf("request ID %q was kept = %v, want %v (%q)", tt.in, got, tt.kept, x.id)
		}
		if !tt.kept && (len(x.id) != 32 || strings.Trim(string(x.id), "0123456789abcdef") != "") {
			t.Errorf("made request ID %q, want 32 hex digits", x.id)
		}
	}
}

func TestEarlyRefuses(t *testing.T) {
	for _, tt := range []struct {
		method, target string
		want           outcome.Reason
	}{
		{"TRACE", "/", outcome.MethodRefused},
		{"CONNECT", "/", outcome.MethodRefused},
		{"GET", "*", outcome.BadRequest},
		{"GET", "/../x", outcome.BadRequest},
		{"GET", "/%zz", outcome.BadRequest},
	} {
		x := anExchange(tt.target)
		x.in.Method = tt.method
		if err := x.early(); err == nil || err.Reason != tt.want {
			t.Errorf("early() of %s %s = %v, want reason %s", tt.method, tt.target, err, tt.want)
		}
	}
}

func TestClientAddr(t *testing.T) {
	for _, tt := range []struct{ peer, list, want string }{
		{"192.0.2.7", "1.1.1.1", "192.0.2.7"},
		{"10.0.0.1", "", "10.0.0.1"},
		{"10.0.0.1", "1.1.1.1", "1.1.1.1"},
		{"10.0.0.1", "6.6.6.6, 1.1.1.1,10.0.0.2", "1.1.1.1"},
		{"10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"},
		{"10.0.0.1", "1.1.1.1:99", "1.1.1.1"},
		{"10.0.0.1", "[2001:db8::1]:99", "2001:db8::1"},
		{"10.0.0.1", "6.6.6.6, unknown", "10.0.0.1"},
		{"10.0.0.1", "6.6.6.6, unknown, 10.0.0.2", "10.0.0.2"},
		{"::ffff:10.0.0.1", "1.1.1.1", "1.1.1.1"},
	} {
		x := anExchange("/")
		x.conn.Remote = netip.AddrPortFrom(netip.MustParseAddr(tt.peer), 1)
		if tt.list != "" {
			x.in.Fields.AddName("X-Forwarded-For", tt.list)
		}
		if err := x.early(); err != nil {
			t.Fatal(err)
		}
		if got := x.Client(); got.String() != tt.want {
			t.Errorf("client of peer %s with %q = %s, want %s", tt.peer, tt.list, got, tt.want)
		}
	}
}
