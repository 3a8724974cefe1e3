package listen

import (
	"crypto/tls"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

const passedName = "passed.example.com"

// lookAhead returns spec with a host that is passed through.
func lookAhead(spec *snapshot.Spec) *snapshot.Spec {
	with := *spec
	with.Hosts = append(slices.Clone(spec.Hosts), &snapshot.Host{Name: passedName, TLS: &snapshot.TLS{Origin: ingressOf(passedName), Passthrough: "db"}})
	with.Pools = append(slices.Clone(spec.Pools), &snapshot.Pool{ID: "db"})
	slices.SortFunc(with.Hosts, func(a, b *snapshot.Host) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(with.Pools, func(a, b *snapshot.Pool) int { return strings.Compare(a.ID, b.ID) })
	return &with
}

func passNobody(net.Conn, *snapshot.Host, *outcome.Handshake) *outcome.Error {
	return &outcome.Error{Side: outcome.Upstream, Reason: outcome.NoEndpoints}
}

// TestRow64LookingAheadChangesNoOutcome runs the tests of handshakes with a table
// that has a host to be passed through: reasons, timeouts, alerts and bytes are
// what they are without.
func TestRow64LookingAheadChangesNoOutcome(t *testing.T) {
	lookingAhead = true
	defer func() { lookingAhead = false }()
	for name, test := range map[string]func(*testing.T){
		"failures":         TestRow5Failures,
		"client certs":     TestRow6ClientCertificateFailures,
		"done":             TestRow4Done,
		"certificates":     TestRow13WhichCertificate,
		"ALPN":             TestALPNIsLenient,
		"timeouts":         TestRow3Timeouts,
		"slow client":      TestTimeoutOfSlowClient,
		"deaf client":      TestTimeoutOfClientThatDoesNotRead,
		"no timeout after": TestNoTimeoutAfterTheHandshake,
		"first record":     TestFirstRecord,
		"PROXY":            TestRow60RealAddressByPROXY,
		"PROXY in time":    TestRow60PROXYHeaderHasATime,
	} {
		t.Run(name, test)
	}
}

// TestRow64TheClientHelloIsHandedOver: whoever gets the connection reads it from
// its first byte on, however it came, after the PROXY header of which it may have
// shared a segment.
func TestRow64TheClientHelloIsHandedOver(t *testing.T) {
	hello := goHello(t, &tls.Config{ServerName: passedName})
	got := make(chan string, 1)
	w := newWorld(t, func(cfg *Config) {
		cfg.Passthrough = func(c net.Conn, host *snapshot.Host, h *outcome.Handshake) *outcome.Error {
			if host.Name != passedName || h.SNI != passedName {
				t.Errorf("Passthrough(%q, %q), want %q", host.Name, h.SNI, passedName)
			}
			b := make([]byte, len(hello)+4)
			n := 0
			for n < len(b) {
				m, err := c.Read(b[n:min(n+100, len(b))])
				if n += m; err != nil {
					t.Error(err)
					break
				}
			}
			got <- string(b[:n])
			return nil
		}
	})
	spec := lookAhead(testSpec())
	for _, header := range []string{"", "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"} {
		spec := *spec
		if header != "" {
			spec.Connections = &snapshot.ConnectionPolicy{ProxyProtocol: prefixes("127.0.0.0/8")}
		}
		w.publish(&spec)
		for _, size := range []int{1, 50, 1 << 20} {
			c := w.dial()
			for part := range slices.Chunk([]byte(header+string(hello)+"more"), size) {
				if _, err := c.Write(part); err != nil {
					t.Fatal(err)
				}
			}
			if b := <-got; b != string(hello)+"more" {
				t.Errorf("in pieces of %d bytes: the hook read %d bytes, want the %d that were sent", size, len(b), len(hello)+4)
			}
			h := w.want(outcome.Passthrough, outcome.OK)
			if h.BytesIn != int64(len(header)+len(hello)+4) || h.Pool != "db" || !h.HelloSeen {
				t.Errorf("handshake = %+v, want all bytes counted", h)
			}
			c.Close()
		}
	}
	if n := w.l.handshakes.Load(); n != 0 {
		t.Errorf("%d handshakes still count, want 0", n)
	}
}

// TestRow64WithoutPassthroughNothingIsRead: a table without such a host costs one
// comparison.
func TestRow64WithoutPassthroughNothingIsRead(t *testing.T) {
	w := prepare(t)
	l := newListener(w.config(func(cfg *Config) { cfg.Passthrough = passNobody }).withDefaults(), &pipeListener{closed: make(chan struct{})})
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	// A read would wait for ever.
	_ = server.SetReadDeadline(time.Time{})
	c := l.newConn(server)
	if n := testing.AllocsPerRun(100, func() { l.passthrough(c) }); n != 0 || c.ahead != nil {
		t.Errorf("passthrough allocates %v times, want never", n)
	}
}

// BenchmarkLookAhead is a handshake with a table that passes a host through, to
// compare with BenchmarkHandshake.
func BenchmarkLookAhead(b *testing.B) {
	lookingAhead = true
	defer func() { lookingAhead = false }()
	w := newWorld(b, func(cfg *Config) {
		cfg.Sink = outcome.Sink{Handshake: func(*outcome.Handshake) {}}
		cfg.Passthrough = passNobody
	})
	benchVisits(b, w.l.Addr().String())
}
