package filter_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/filter"
	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/proxy"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

func TestRedirectHTTPS(t *testing.T) {
	redirected := snapshot.Policy{RedirectHTTPS: true}
	plain := &outcome.Conn{Remote: netip.MustParseAddrPort("192.0.2.7:1")}
	balancer := &outcome.Conn{Remote: netip.MustParseAddrPort("10.0.0.1:1")}
	secure := &outcome.Conn{Remote: plain.Remote, TLS: &outcome.Handshake{Security: (*snapshot.TLS)(nil).Security(nil)}}
	// Every request that is not redirected gets the 503 of its route.
	for _, tt := range []struct {
		name     string
		policy   snapshot.Policy
		port     int
		conn     *outcome.Conn
		target   string
		host     string
		proto    string // X-Forwarded-Proto
		status   int
		location string
	}{
		{name: "plain HTTP", policy: redirected, conn: plain, target: "/a?b=c", host: "h.example", status: 308, location: "https://h.example/a?b=c"},
		{name: "the port of HTTP is not kept", policy: redirected, conn: plain, target: "/", host: "h.example:8080", status: 308, location: "https://h.example/"},
		{name: "another HTTPS port", policy: redirected, port: 8443, conn: plain, target: "/", host: "h.example:80", status: 308, location: "https://h.example:8443/"},
		{name: "the usual HTTPS port", policy: redirected, port: 443, conn: plain, target: "/", host: "h.example", status: 308, location: "https://h.example/"},
		{name: "an empty query is kept", policy: redirected, conn: plain, target: "/?", host: "h.example", status: 308, location: "https://h.example/?"},
		{name: "the normalised path", policy: redirected, conn: plain, target: "/%61/../b%2f", host: "H.example", status: 308, location: "https://h.example/b%2F"},
		{name: "two slashes are no host", policy: redirected, conn: plain, target: "//evil.example", host: "h.example", status: 308, location: "https://h.example//evil.example"},
		{name: "IPv6 literal", policy: redirected, conn: plain, target: "/", host: "[2001:db8::1]:80", status: 308, location: "https://[2001:db8::1]/"},
		{name: "no host", policy: redirected, conn: plain, target: "/", status: 400},
		{name: "HTTPS already", policy: redirected, conn: secure, target: "/", host: "h.example", status: 503},
		{name: "HTTPS before a trusted peer", policy: redirected, conn: balancer, target: "/", host: "h.example", proto: "https", status: 503},
		{name: "HTTP before a trusted peer", policy: redirected, conn: balancer, target: "/", host: "h.example", proto: "http", status: 308, location: "https://h.example/"},
		{name: "anybody's word", policy: redirected, conn: plain, target: "/", host: "h.example", proto: "https", status: 308, location: "https://h.example/"},
		{name: "ACME challenge", policy: snapshot.Policy{RedirectHTTPS: true, ACME: true}, conn: plain, target: "/", host: "h.example", status: 503},
		{name: "not asked for", conn: plain, target: "/", host: "h.example", status: 503},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var snap *snapshot.Snapshot
			var reasons []outcome.Reason
			p := proxy.New(proxy.Config{
				Current: func() *snapshot.Snapshot { return snap },
				Filters: []proxy.Filter{filter.RedirectHTTPS(tt.port)},
				Sink:    outcome.Sink{Request: func(o *outcome.Request) { reasons = append(reasons, o.Reason) }},
				Logger:  slog.New(slog.DiscardHandler),
			})
			defer p.Close()
			var err error
			snap, err = snapshot.Compile(nil, &snapshot.Spec{
				TrustedCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
				Hosts: []*snapshot.Host{{Routes: []*snapshot.Route{{
					Path: "/", Kind: snapshot.Prefix, Policy: tt.policy,
					Answer: &snapshot.Answer{Status: 503, Reason: string(outcome.NoService)},
				}}}},
			}, p.Bind)
			if err != nil {
				t.Fatal(err)
			}
			c := newClient(tt.conn, tt.target, tt.host)
			if tt.proto != "" {
				c.req.Fields.AddName("X-Forwarded-Proto", tt.proto)
			}
			p.Serve(c)
			if c.status != tt.status || c.location != tt.location {
				t.Errorf("%s%s: %d %q, want %d %q", tt.host, tt.target, c.status, c.location, tt.status, tt.location)
			}
			if len(reasons) != 1 || (tt.status == 308) != (reasons[0] == outcome.OK) {
				t.Errorf("outcomes %v for status %d", reasons, c.status)
			}
		})
	}
}

// client is a Downstream that has sent a GET and keeps the answer's status.
type client struct {
	req      message.Request
	conn     *outcome.Conn
	status   int
	location string
	head     string
}

func newClient(conn *outcome.Conn, target, host string) *client {
	c := &client{conn: conn}
	path, query, has := bytes.Cut([]byte(target), []byte("?"))
	c.req = message.Request{
		Version: message.HTTP11, Method: "GET", Target: []byte(target), Authority: []byte(host),
		Path: path, Query: query, HasQuery: has,
	}
	return c
}

func (c *client) Head(res *message.Response) error {
	c.status, c.location, c.head = res.Status, string(res.Fields.Get(message.Location)), ""
	for f := range res.Fields.All() {
		c.head += string(f.Name) + ": " + string(f.Value) + "\n"
	}
	return nil
}

func (c *client) Conn() *outcome.Conn                       { return c.conn }
func (c *client) Request() *message.Request                 { return &c.req }
func (c *client) Refusal() *outcome.Error                   { return nil }
func (c *client) Body() message.Body                        { return message.NoBody }
func (c *client) Limit(int64, time.Duration, time.Duration) {}
func (c *client) Inform(*message.Response) error            { return nil }
func (c *client) Write([]byte) error                        { return nil }
func (c *client) Flush() error                              { return nil }
func (c *client) End(*message.Fields) error                 { return nil }
func (c *client) Cancel()                                   {}
func (c *client) Abort()                                    {}
func (c *client) Close()                                    {}
func (c *client) Retire()                                   {}
func (c *client) Watch(func()) func()                       { return func() {} }
func (c *client) Tunnel() (io.ReadWriteCloser, error)       { return nil, io.ErrUnexpectedEOF }
