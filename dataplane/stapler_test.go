package dataplane

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
	"github.com/cardea-dev/cardea/test/responder"
)

// TestStaplerOverTime: a response is fetched anew at half of its validity, trouble
// is waited out longer and longer while the old one is stapled on, and no response
// is stapled that has run out.
func TestStaplerOverTime(t *testing.T) {
	a := responder.New(t)
	chain, key := a.Issue("a.example.com", true)
	cert, err := snapshot.ParseCertificate(snapshot.Origin{}, chain, key)
	if err != nil {
		t.Fatal(err)
	}
	snap, err := snapshot.Compile(nil, &snapshot.Spec{Hosts: []*snapshot.Host{
		{Name: "a.example.com", TLS: &snapshot.TLS{Certificates: []*snapshot.Certificate{cert}}},
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := newStapler(slog.New(slog.DiscardHandler), func() *snapshot.Snapshot { return snap }, nil)
	now := time.Now()
	s.collect(now)
	e := s.entries[cert.Digest]
	if e.next != now || e.state != staplePending {
		t.Fatalf("a new certificate: %s, fetch in %v, want pending, at once", e.state, e.next.Sub(now))
	}
	bytes, err := newFetch(dialTCPForTest)(t.Context(), a.URL, e.request)
	if err != nil {
		t.Fatal(err)
	}
	took := func(f fetched) {
		s.running++
		f.digest = cert.Digest
		s.took(f, now)
	}
	want := func(what, state string, next time.Duration) {
		t.Helper()
		s.count(now)
		if got := e.next.Sub(now); e.state != state || got > next || got < next*8/10 {
			t.Errorf("%s: %s, fetch in %v, want %s, in %v less up to a tenth", what, e.state, got, state, next)
		}
	}
	took(fetched{der: bytes})
	want("a response for two days", stapleOK, 24*time.Hour)
	now = now.Add(24 * time.Hour)
	trouble := errors.New("no route to host")
	for _, pause := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute} {
		took(fetched{err: trouble})
		want("in trouble", stapleOK, pause)
	}
	for range 20 {
		took(fetched{err: trouble})
	}
	want("in trouble for long", stapleOK, time.Hour)
	now = now.Add(25 * time.Hour)
	s.count(now)
	if _, stapled := s.figures.Certificates[stapleOK]; stapled || s.figures.Unstapled["true"] != 1 || e.state != stapleFailed {
		t.Errorf("a response that has run out: %s, figures %+v, want failed", e.state, s.figures)
	}
	took(fetched{der: bytes})
	if e.state != stapleFailed {
		t.Errorf("the same response again: %s, want failed", e.state)
	}
}

// TestStaplerIsBounded: however many certificates there are, a few fetches run at
// a time, and they end with the stapler.
func TestStaplerIsBounded(t *testing.T) {
	a := responder.New(t)
	chain, key := a.Issue("a.example.com", false)
	cert, err := snapshot.ParseCertificate(snapshot.Origin{}, chain, key)
	if err != nil {
		t.Fatal(err)
	}
	begun := make(chan struct{}, 100)
	s := newStapler(slog.New(slog.DiscardHandler), func() *snapshot.Snapshot { return nil }, func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
		begun <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	})
	for i := range 50 {
		c := *cert
		c.Digest += string(rune('a' + i))
		s.entries[c.Digest] = newStapled(&c, time.Now())
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { s.run(ctx) })
	for range maxFetches {
		<-begun
	}
	// A second look starts no more.
	s.published()
	for len(s.wake) > 0 {
		runtime.Gosched()
	}
	cancel()
	running.Wait()
	if n := len(begun); n > 0 {
		t.Errorf("%d fetches more than %d ran at a time", n, maxFetches)
	}
}

func dialTCPForTest(ctx context.Context, addr string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", addr)
}
