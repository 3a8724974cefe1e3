package controllers

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// An eventLog is an API server for Events: it refuses what a real one refuses
// and counts what it is asked.
type eventLog struct {
	mu       sync.Mutex
	events   map[string]*corev1.Event
	version  int
	requests int
	err      error
	// before, if set, runs once before the next request, under mu.
	before func()
}

var eventResource = schema.GroupResource{Resource: "events"}

func (l *eventLog) begin() error {
	l.mu.Lock()
	if f := l.before; f != nil {
		l.before = nil
		f()
	}
	l.requests++
	return l.err
}

func (l *eventLog) Get(_ context.Context, namespace, name string) (*corev1.Event, error) {
	defer l.mu.Unlock()
	if err := l.begin(); err != nil {
		return nil, err
	}
	e, ok := l.events[namespace+"/"+name]
	if !ok {
		return nil, apierrors.NewNotFound(eventResource, name)
	}
	return e.DeepCopy(), nil
}

func (l *eventLog) Create(_ context.Context, e *corev1.Event) (*corev1.Event, error) {
	defer l.mu.Unlock()
	if err := l.begin(); err != nil {
		return nil, err
	}
	if _, ok := l.events[e.Namespace+"/"+e.Name]; ok {
		return nil, apierrors.NewAlreadyExists(eventResource, e.Name)
	}
	return l.put(e), nil
}

func (l *eventLog) Update(_ context.Context, e *corev1.Event) (*corev1.Event, error) {
	defer l.mu.Unlock()
	if err := l.begin(); err != nil {
		return nil, err
	}
	old, ok := l.events[e.Namespace+"/"+e.Name]
	if !ok {
		return nil, apierrors.NewNotFound(eventResource, e.Name)
	}
	if old.ResourceVersion != e.ResourceVersion {
		return nil, apierrors.NewConflict(eventResource, e.Name, nil)
	}
	return l.put(e), nil
}

func (l *eventLog) put(e *corev1.Event) *corev1.Event {
	if l.events == nil {
		l.events = make(map[string]*corev1.Event)
	}
	l.version++
	e = e.DeepCopy()
	e.ResourceVersion = fmt.Sprint(l.version)
	l.events[e.Namespace+"/"+e.Name] = e
	return e.DeepCopy()
}

// list returns every Event.
func (l *eventLog) list() []corev1.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []corev1.Event
	for _, e := range l.events {
		all = append(all, *e)
	}
	return all
}

func (l *eventLog) asked() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.requests
}

// runEvents starts a writer inside a synctest bubble.
func runEvents(t *testing.T, log *eventLog, change func(*EventsConfig)) *Events {
	t.Helper()
	cfg := EventsConfig{store: log, Instance: "one"}
	if change != nil {
		change(&cfg)
	}
	e, err := NewEvents(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return e
}

var shopIngress = snapshot.Origin{Kind: "Ingress", Namespace: "shop", Name: "web", UID: "u-web", Field: "spec.tls[0]"}

func failed(reason outcome.Reason, client string) *outcome.Handshake {
	return &outcome.Handshake{
		Conn:   &outcome.Conn{Remote: netip.AddrPortFrom(netip.MustParseAddr(client), 4711)},
		Result: outcome.Failed, Reason: reason, SNI: "shop.example.com", Host: "shop.example.com", Ingress: shopIngress,
	}
}

func TestHandshakesBecomeOneEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Now().Truncate(eventWindow).Add(eventWindow + 2*time.Minute)))
		var log eventLog
		sink := runEvents(t, &log, nil).Sink()
		synctest.Wait()
		for i := range 12 {
			sink.Handshake(failed(outcome.Version, fmt.Sprintf("203.0.113.%d", i)))
		}
		time.Sleep(time.Second)
		events := log.list()
		if len(events) != 1 {
			t.Fatalf("%d Events within a second, want 1", len(events))
		}
		e := events[0]
		want := "shop.example.com: the client offers no TLS version that the policy accepts; 12 handshakes from 203.0.113.0/24 in 10m. Update the client to TLS 1.2 or newer."
		if e.Message != want {
			t.Errorf("message = %q, want %q", e.Message, want)
		}
		ref := corev1.ObjectReference{APIVersion: "networking.k8s.io/v1", Kind: "Ingress", Namespace: "shop", Name: "web", UID: "u-web"}
		if diff := cmp.Diff(ref, e.InvolvedObject); diff != "" {
			t.Errorf("involved object (-want +got):\n%s", diff)
		}
		if e.Type != corev1.EventTypeWarning || e.Reason != "version" || e.Count != 12 || e.ReportingController != "cardea.dev/ingress-controller" || e.ReportingInstance != "one" {
			t.Errorf("event = %+v", e)
		}

		// What follows within the minute waits for its end, then is added.
		asked := log.asked()
		for range 30 {
			sink.Handshake(failed(outcome.Version, "198.51.100.9"))
			time.Sleep(time.Second)
		}
		if got := log.asked(); got != asked {
			t.Errorf("%d requests within a minute of the first, want none", got-asked)
		}
		time.Sleep(time.Minute)
		e = log.list()[0]
		if e.Count != 42 || !strings.Contains(e.Message, "42 handshakes from 203.0.113.0/24, 198.51.100.0/24 in 10m") {
			t.Errorf("a minute later: count %d, message %q, want 42 from both networks", e.Count, e.Message)
		}
		if got := log.asked() - asked; got != 1 {
			t.Errorf("%d requests to add to an own Event, want 1", got)
		}
	})
}

func TestHandshakesThatMakeNoEvent(t *testing.T) {
	for name, change := range map[string]func(*outcome.Handshake){
		"done":            func(h *outcome.Handshake) { h.Result, h.Reason = outcome.Done, outcome.OK },
		"unknown SNI":     func(h *outcome.Handshake) { h.Reason, h.Host, h.Ingress = outcome.UnknownSNI, "", snapshot.Origin{} },
		"no SNI":          func(h *outcome.Handshake) { h.Reason, h.SNI, h.Host = outcome.NoSNI, "", "" },
		"plain HTTP":      func(h *outcome.Handshake) { h.Reason, h.Host = outcome.NotTLSHTTP, "" },
		"client left":     func(h *outcome.Handshake) { h.Reason = outcome.EOF },
		"client reset":    func(h *outcome.Handshake) { h.Reason = outcome.Reset },
		"object has none": func(h *outcome.Handshake) { h.Ingress.UID = "" },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log eventLog
				h := failed(outcome.Version, "192.0.2.1")
				change(h)
				runEvents(t, &log, nil).Sink().Handshake(h)
				time.Sleep(2 * time.Minute)
				if got := log.asked(); got != 0 {
					t.Errorf("%d requests, want none", got)
				}
			})
		})
	}
}

func TestReplicasShareAnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log eventLog
		one := runEvents(t, &log, nil)
		two := runEvents(t, &log, func(c *EventsConfig) { c.Instance = "two" })
		for _, e := range []*Events{one, two} {
			e.Report(shopIngress, true, "SecretInvalid", "tls.crt is empty")
			e.Sink().Handshake(failed(outcome.Cipher, "203.0.113.1"))
		}
		time.Sleep(time.Second)
		counts := make(map[string]int32)
		for _, e := range log.list() {
			counts[e.Reason] += e.Count
		}
		if diff := cmp.Diff(map[string]int32{"SecretInvalid": 1, "cipher": 2}, counts); diff != "" || len(log.list()) != 2 {
			t.Errorf("%d Events, counts (-want +got):\n%s", len(log.list()), diff)
		}
	})
}

func TestReportIsNotRepeatedAcrossTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log eventLog
		one := runEvents(t, &log, nil)
		two := runEvents(t, &log, nil)
		edge := time.Now().Truncate(eventWindow).Add(eventWindow)
		time.Sleep(time.Until(edge.Add(-eventDelay - 10*time.Millisecond)))
		one.Report(shopIngress, true, "SecretInvalid", "tls.crt is empty")
		time.Sleep(time.Second)
		two.Report(shopIngress, true, "SecretInvalid", "tls.crt is empty")
		time.Sleep(time.Second)
		if got := len(log.list()); got != 1 {
			t.Errorf("%d Events, want 1", got)
		}
	})
}

// A replica that starts later judges as the others did: that is not told again, what
// begins again at the one that told it is.
func TestReportOfALaterReplicaIsNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Now().Truncate(eventWindow).Add(eventWindow)))
		var log eventLog
		one := runEvents(t, &log, nil)
		two := runEvents(t, &log, func(c *EventsConfig) { c.Instance = "two" })
		for i, step := range []struct {
			by      *Events
			message string
			want    int32
		}{
			{one, "tls.crt is empty", 1},
			{two, "tls.crt is empty", 1},
			{one, "tls.crt is empty", 2},
			{two, "tls.key is empty", 3},
		} {
			step.by.Report(shopIngress, true, "SecretInvalid", step.message)
			time.Sleep(2 * time.Minute)
			if events := log.list(); len(events) != 1 || events[0].Count != step.want || events[0].Message != step.message {
				t.Errorf("step %d: Events = %+v, want one with count %d", i, events, step.want)
			}
		}
	})
}

func TestReportChangesItsEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Now().Truncate(eventWindow).Add(eventWindow)))
		var log eventLog
		e := runEvents(t, &log, nil)
		e.Report(shopIngress, false, "HostConflictWon", "first")
		time.Sleep(time.Second)
		e.Report(shopIngress, true, "HostConflictWon", "second")
		e.Report(shopIngress, true, "HostConflictWon", "third")
		time.Sleep(2 * time.Minute)
		events := log.list()
		if len(events) != 1 || events[0].Message != "third" || events[0].Count != 2 || events[0].Type != corev1.EventTypeWarning {
			t.Errorf("Events = %+v, want one, changed to the third message", events)
		}
	})
}

func TestEventIsChangedUnderConflict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Now().Truncate(eventWindow).Add(eventWindow)))
		var log eventLog
		sink := runEvents(t, &log, nil).Sink()
		sink.Handshake(failed(outcome.Cipher, "203.0.113.1"))
		time.Sleep(time.Second)
		// Somebody else adds 5 between our reading and our writing.
		log.mu.Lock()
		log.before = func() {
			for _, e := range log.events {
				e.Count += 5
				log.put(e)
			}
		}
		log.mu.Unlock()
		sink.Handshake(failed(outcome.Cipher, "203.0.113.1"))
		time.Sleep(2 * time.Minute)
		if got := log.list()[0].Count; got != 7 {
			t.Errorf("count = %d, want 7", got)
		}
	})
}

func TestEventsOutliveAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := eventLog{err: errors.New("connection refused")}
		e := runEvents(t, &log, nil)
		for i := range 100 {
			o := shopIngress
			o.UID = fmt.Sprint("u", i)
			e.Report(o, true, "SecretInvalid", "tls.crt is empty")
		}
		e.Sink().Handshake(failed(outcome.Cipher, "203.0.113.1"))
		time.Sleep(5 * time.Minute)
		if got := log.asked(); got > 40 {
			t.Errorf("%d requests in 5 min without an API server, want about one each 10 s", got)
		}
		log.mu.Lock()
		log.err = nil
		log.mu.Unlock()
		time.Sleep(time.Minute)
		if got := len(log.list()); got != 101 {
			t.Errorf("%d Events after the outage, want 101", got)
		}
	})
}

func TestRefusedEventIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := eventLog{err: apierrors.NewForbidden(eventResource, "x", errors.New("the namespace is being terminated"))}
		runEvents(t, &log, nil).Report(shopIngress, true, "SecretInvalid", "tls.crt is empty")
		time.Sleep(time.Hour)
		if got := log.asked(); got > 2 {
			t.Errorf("%d requests, want no second try", got)
		}
	})
}

func TestEventsStayWithinTheirBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log eventLog
		var dropped atomic.Int64
		e := runEvents(t, &log, func(c *EventsConfig) {
			c.MaxSubjects, c.PerSecond, c.Burst = 160, 1, 5
			c.Dropped = func(n int) { dropped.Add(int64(n)) }
		})
		const n = 10000
		for i := range n {
			h := failed(outcome.Version, "192.0.2.1")
			h.Ingress.UID = fmt.Sprint("u", i)
			e.Sink().Handshake(h)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := log.asked(); got > 6 {
			t.Errorf("%d requests in the first second, want at most the burst", got)
		}
		if got := dropped.Load(); got < n-160 {
			t.Errorf("%d dropped, want at least %d", got, n-160)
		}
		time.Sleep(eventWindow)
		if got := len(log.list()); got > 160 {
			t.Errorf("%d Events, want at most 160", got)
		}
		// After a silence there is room for others.
		time.Sleep(eventWindow)
		before := dropped.Load()
		for i := range 100 {
			h := failed(outcome.Cipher, "192.0.2.1")
			h.Ingress.UID = fmt.Sprint("v", i)
			e.Sink().Handshake(h)
		}
		time.Sleep(time.Second)
		if got := dropped.Load() - before; got > 20 {
			t.Errorf("%d of 100 dropped after a silence, want few", got)
		}
	})
}

func TestClientAddresses(t *testing.T) {
	for _, c := range []struct {
		mode       ClientAddress
		addr, want string
	}{
		{ClientPrefix, "203.0.113.7", "203.0.113.0/24"},
		{ClientPrefix, "::ffff:203.0.113.7", "203.0.113.0/24"},
		{ClientPrefix, "2001:db8:1:2::3", "2001:db8:1::/48"},
		{ClientPrefix, "fe80::1%eth0", "fe80::/48"},
		{ClientFull, "2001:db8:1:2::3", "2001:db8:1:2::3"},
		{ClientNone, "203.0.113.7", ""},
	} {
		if got := c.mode.of(netip.MustParseAddr(c.addr)); got != c.want {
			t.Errorf("%s.of(%s) = %q, want %q", c.mode, c.addr, got, c.want)
		}
	}
	if got := ClientFull.of(netip.Addr{}); got != "" {
		t.Errorf("of(none) = %q, want nothing", got)
	}
	if _, err := NewEvents(EventsConfig{store: &eventLog{}, ClientAddress: "some"}); err == nil {
		t.Error("NewEvents takes an unknown client address mode")
	}
}

func TestMessagesAreCut(t *testing.T) {
	for _, c := range []struct {
		in    string
		limit int
		want  string
	}{
		{"short", 10, "short"},
		{"0123456789", 10, "0123456789"},
		{"0123456789a", 10, "0123456…"},
		{"012345ééé", 10, "012345…"},
	} {
		if got := cut(c.in, c.limit); got != c.want {
			t.Errorf("cut(%q, %d) = %q, want %q", c.in, c.limit, got, c.want)
		}
	}
	for _, info := range outcome.Reasons() {
		h := handshakes{reason: info.Reason, count: 1 << 30}
		for i := range 9 {
			h.hosts.add(fmt.Sprint(i) + strings.Repeat(".verylonglabel", 17))
			h.clients.add(fmt.Sprintf("2001:db8:%x::/48", i))
		}
		if m := h.message(time.Now()); len(m) > maxMessage {
			t.Errorf("message of %s has %d bytes, want at most %d", info.Reason, len(m), maxMessage)
		}
	}
}

// TestMessagesNameTheCertificate: what is known of the certificate that clients
// reject, and of no other.
func TestMessagesNameTheCertificate(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	ca := newTestIssuer(t, "Shop CA")
	for _, c := range []struct {
		name   string
		reason outcome.Reason
		leaf   x509.Certificate
		by     *testIssuer
		chain  int
		want   string
	}{
		{
			"self-signed", outcome.AlertUnknownCA,
			x509.Certificate{},
			nil, 1,
			"clients reject the certificate of shop.example.com: unknown authority; it is self-signed, from Secret shop/tls (sha256 0123456789abcdef…); 1 handshake from 203.0.113.0/24 in 10m. ",
		},
		{
			"expired", outcome.AlertExpired,
			x509.Certificate{NotAfter: now.Add(-time.Hour)},
			nil, 1,
			"clients reject the certificate of shop.example.com: expired; it is self-signed, expired on 2026-05-01T11:00:00Z, from ",
		},
		{
			"not yet valid", outcome.AlertExpired,
			x509.Certificate{NotBefore: now.Add(time.Hour)},
			nil, 1,
			"; it is self-signed, not valid before 2026-05-01T13:00:00Z, from ",
		},
		{
			"another name", outcome.AlertBadCertificate,
			x509.Certificate{DNSNames: []string{"other.example.com"}},
			ca, 2,
			`: bad certificate; it is issued by "Shop CA", not for shop.example.com, from `,
		},
		{
			"no intermediates", outcome.AlertUnknownCA,
			x509.Certificate{},
			ca, 1,
			`: unknown authority; it is issued by "Shop CA", sent without intermediates, from `,
		},
		{
			"for clients only", outcome.AlertUnsupported,
			x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}},
			ca, 2,
			`: unsupported kind; it is issued by "Shop CA", not for servers (extended key usage), from `,
		},
		{
			"never looked at", outcome.Version,
			x509.Certificate{},
			nil, 1,
			"shop.example.com: the client offers no TLS version that the policy accepts; 1 handshake from ",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := handshakes{reason: c.reason}
			one := &tallied{count: 1, certificate: c.by.certificate(t, c.leaf, c.chain, now)}
			one.clients.add("203.0.113.0/24")
			h.add("shop.example.com", one)
			if got := h.message(now); !strings.Contains(got, c.want) {
				t.Errorf("message = %q, want %q in it", got, c.want)
			}
		})
	}
}

// A testIssuer signs certificates for messages; nil makes self-signed ones.
type testIssuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newTestIssuer(t *testing.T, name string) *testIssuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &testIssuer{&x509.Certificate{Subject: pkix.Name{CommonName: name}, SerialNumber: big.NewInt(1)}, key}
}

// certificate returns that of Secret shop/tls, with a chain of so many; where leaf
// says nothing it is a good one for shop.example.com.
func (i *testIssuer) certificate(t *testing.T, leaf x509.Certificate, chain int, now time.Time) *snapshot.Certificate {
	t.Helper()
	leaf.SerialNumber, leaf.Subject = big.NewInt(2), pkix.Name{CommonName: "shop"}
	if leaf.NotBefore.IsZero() {
		leaf.NotBefore = now.Add(-24 * time.Hour)
	}
	if leaf.NotAfter.IsZero() {
		leaf.NotAfter = now.Add(24 * time.Hour)
	}
	if leaf.DNSNames == nil {
		leaf.DNSNames = []string{"shop.example.com"}
	}
	own := newTestIssuer(t, "shop")
	if i == nil {
		i = &testIssuer{&leaf, own.key}
	}
	der, err := x509.CreateCertificate(rand.Reader, &leaf, i.cert, own.key.Public(), i.key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	c := snapshot.NewCertificate(snapshot.Origin{Kind: "Secret", Namespace: "shop", Name: "tls"},
		&tls.Certificate{Certificate: make([][]byte, chain), Leaf: parsed}, parsed)
	c.Digest = strings.Repeat("0123456789abcdef", 4)
	return c
}

func TestEventNames(t *testing.T) {
	window := time.Unix(600, 0)
	a := eventName(subject{shopIngress.Object(), "cipher"}, window)
	for _, other := range []string{
		eventName(subject{shopIngress.Object(), "version"}, window),
		eventName(subject{shopIngress.Object(), "cipher"}, window.Add(eventWindow)),
		eventName(subject{snapshot.Origin{Kind: "Ingress", Namespace: "shop", Name: "web", UID: "u2"}, "cipher"}, window),
	} {
		if other == a {
			t.Errorf("two Events have the name %q", a)
		}
	}
	long := shopIngress.Object()
	long.Name = strings.Repeat("a.", 126) + "a"
	if got := eventName(subject{long, "cipher"}, window); len(got) > 253 || strings.Contains(got, "..") {
		t.Errorf("eventName of a long name = %q", got)
	}
}

func BenchmarkSinkHandshake(b *testing.B) {
	e, err := NewEvents(EventsConfig{store: &eventLog{}})
	if err != nil {
		b.Fatal(err)
	}
	sink := e.Sink()
	h := failed(outcome.Version, "192.0.2.1")
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			sink.Handshake(h)
		}
	})
}

// TestSetClientAddress: what the parameters say counts for the handshakes after it,
// and what the flag says as soon as they say nothing.
func TestSetClientAddress(t *testing.T) {
	e, err := NewEvents(EventsConfig{store: &eventLog{}, ClientAddress: ClientFull})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ set, want ClientAddress }{{"", ClientFull}, {ClientNone, ClientNone}, {ClientPrefix, ClientPrefix}, {"", ClientFull}} {
		e.SetClientAddress(tt.set)
		if got := *e.tally.clients.Load(); got != tt.want {
			t.Errorf("after SetClientAddress(%q): %q, want %q", tt.set, got, tt.want)
		}
	}
}
