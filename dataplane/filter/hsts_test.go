package filter_test

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/cardea-dev/cardea/dataplane/filter"
	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/proxy"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// TestHSTS: answers of our own, a failure and a filter's, carry the field over TLS
// alone, once. Those of backends are in test/features.
func TestHSTS(t *testing.T) {
	const value = "max-age=300; includeSubDomains"
	plain := &outcome.Conn{Remote: netip.MustParseAddrPort("192.0.2.7:1")}
	secure := &outcome.Conn{Remote: plain.Remote, TLS: &outcome.Handshake{Security: (*snapshot.TLS)(nil).Security(nil)}}
	answering := func(snapshot.Policy) proxy.Hooks {
		return proxy.Hooks{Request: func(x *proxy.Exchange) (bool, *outcome.Error) {
			return true, x.Answer(200, "", "strict-transport-security", "max-age=0", "X-Other", "kept")
		}}
	}
	for _, tt := range []struct {
		name    string
		policy  snapshot.Policy
		conn    *outcome.Conn
		filters []proxy.Filter
		want    string
	}{
		{"a failure over TLS", snapshot.Policy{HSTS: value}, secure, nil, value},
		{"an answer over TLS, which has the field", snapshot.Policy{HSTS: value}, secure, []proxy.Filter{answering}, value},
		{"plain HTTP", snapshot.Policy{HSTS: value}, plain, nil, ""},
		{"plain HTTP passes on what is there", snapshot.Policy{HSTS: value}, plain, []proxy.Filter{answering}, "max-age=0"},
		{"without a value", snapshot.Policy{}, secure, []proxy.Filter{answering}, "max-age=0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			filters := append([]proxy.Filter{filter.HSTS}, tt.filters...)
			c := serveOne(t, tt.policy, filters, tt.conn)
			var got []string
			for line := range strings.Lines(c.head) {
				if name, v, _ := strings.Cut(strings.TrimSpace(line), ": "); strings.EqualFold(name, "Strict-Transport-Security") {
					got = append(got, v)
				}
			}
			if strings.Join(got, "|") != tt.want {
				t.Errorf("Strict-Transport-Security = %q, want %q", got, tt.want)
			}
			if len(tt.filters) > 0 && !strings.Contains(c.head, "X-Other: kept") {
				t.Errorf("head %q, want X-Other kept", c.head)
			}
		})
	}
}

// serveOne serves a GET of / under a policy, which a filter or the 503 of its route
// answers.
func serveOne(t *testing.T, policy snapshot.Policy, filters []proxy.Filter, conn *outcome.Conn) *client {
	t.Helper()
	var snap *snapshot.Snapshot
	p := proxy.New(proxy.Config{
		Current: func() *snapshot.Snapshot { return snap },
		Filters: filters,
		Logger:  slog.New(slog.DiscardHandler),
	})
	defer p.Close()
	var err error
	snap, err = snapshot.Compile(nil, &snapshot.Spec{
		Hosts: []*snapshot.Host{{Routes: []*snapshot.Route{{
			Path: "/", Kind: snapshot.Prefix, Policy: policy, Answer: &snapshot.Answer{Status: 503, Reason: string(outcome.NoService)},
		}}}},
	}, p.Bind)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(conn, "/", "h.example")
	p.Serve(c)
	return c
}
