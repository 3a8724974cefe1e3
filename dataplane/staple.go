package dataplane

import (
	"context"
	"crypto/x509"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/cardea-dev/cardea/dataplane/listen"
	"github.com/cardea-dev/cardea/dataplane/ocsp"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// A stapler keeps an OCSP response at hand for each certificate in force whose
// authority gives any. Handshakes never wait for it: they take what is there.
//
// One goroutine owns the entries; fetches run beside it, maxFetches at a time.
type stapler struct {
	log     *slog.Logger
	current func() *snapshot.Snapshot
	fetch   fetchFunc
	staples listen.Staples
	// wake holds a token when there is another snapshot.
	wake chan struct{}

	seen    *snapshot.Spec
	entries map[string]*stapled
	results chan fetched
	running int

	// mu guards figures, which others read.
	mu      sync.Mutex
	figures Staples
}

// A fetchFunc asks the responder at url.
type fetchFunc func(ctx context.Context, url string, request []byte) ([]byte, error)

// Staples are the figures of OCSP stapling.
type Staples struct {
	// Certificates in force by the state of their response: "stapled", "pending"
	// (not fetched yet), "failed" (no response that holds, trying again), "revoked",
	// "unknown" (the authority does not know the certificate) and "none" (the
	// certificate names no responder, or its chain lacks the issuer).
	Certificates map[string]int
	// Unstapled counts those without a response, by "true" and "false" for whether
	// they demand one (must-staple).
	Unstapled map[string]int
	// Fetches counts what was fetched, by result: "good", "revoked", "unknown",
	// "unreachable" and "invalid".
	Fetches map[string]int
}

const (
	// maxFetches is the most fetches at a time, fetchTimeout the time for one.
	maxFetches   = 4
	fetchTimeout = 10 * time.Second
	// firstRetry is the pause after a first failure; it doubles up to lastRetry.
	firstRetry = time.Minute
	lastRetry  = time.Hour
	// minRefresh is the shortest time between two fetches that went well, maxRefresh
	// the longest: a revocation should be known within a day.
	minRefresh = time.Minute
	maxRefresh = 24 * time.Hour
)

// The states of a certificate, see [Staples].
const (
	staplePending = "pending"
	stapleOK      = "stapled"
	stapleFailed  = "failed"
	stapleNone    = "none"
)

// A stapled is a certificate with what is known of its response.
type stapled struct {
	name, digest string
	leaf, issuer *x509.Certificate
	must         bool
	url          string
	request      []byte

	state    string
	until    time.Time // of the response that is stapled; zero for none
	next     time.Time // of the next fetch
	failures int
	fetching bool
}

// fetched is what became of a fetch.
type fetched struct {
	digest string
	der    []byte
	err    error
}

func newStapler(log *slog.Logger, current func() *snapshot.Snapshot, fetch fetchFunc) *stapler {
	return &stapler{
		log: log, current: current, fetch: fetch,
		wake:    make(chan struct{}, 1),
		entries: make(map[string]*stapled),
		results: make(chan fetched),
		figures: Staples{Fetches: make(map[string]int)},
	}
}

// published says that there is another snapshot. A nil stapler does nothing.
func (s *stapler) published() {
	if s == nil {
		return
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run works until ctx ends and its fetches have.
func (s *stapler) run(ctx context.Context) {
	var fetching sync.WaitGroup
	defer fetching.Wait()
	for {
		now := time.Now()
		s.collect(now)
		wait := s.start(ctx, now, &fetching)
		s.count(now)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-timer.C:
		case r := <-s.results:
			s.took(r, time.Now())
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// collect begins with certificates that are new, and forgets those that are gone.
func (s *stapler) collect(now time.Time) {
	snap := s.current()
	if snap == nil || snap.Spec == s.seen {
		return
	}
	s.seen = snap.Spec
	inForce := make(map[string]bool, len(s.entries))
	add := func(c *snapshot.Certificate) {
		inForce[c.Digest] = true
		if s.entries[c.Digest] == nil {
			s.entries[c.Digest] = newStapled(c, now)
		}
	}
	for _, h := range snap.Spec.Hosts {
		if h.TLS != nil {
			for _, c := range h.TLS.Certificates {
				add(c)
			}
		}
	}
	if c := snap.Spec.DefaultCertificate; c != nil {
		add(c)
	}
	for digest := range s.entries {
		if !inForce[digest] {
			delete(s.entries, digest)
			s.staples.Remove(digest)
		}
	}
}

func newStapled(c *snapshot.Certificate, now time.Time) *stapled {
	leaf := c.Leaf()
	e := &stapled{name: c.ID(), digest: c.Digest, leaf: leaf, must: c.MustStaple, state: stapleNone}
	if len(c.TLS.Certificate) < 2 || len(e.leaf.OCSPServer) == 0 {
		return e
	}
	issuer, err := x509.ParseCertificate(c.TLS.Certificate[1])
	if err != nil || e.leaf.CheckSignatureFrom(issuer) != nil {
		return e
	}
	request, err := ocsp.NewRequest(e.leaf, issuer)
	if err != nil {
		return e
	}
	e.issuer, e.url, e.request, e.state, e.next = issuer, e.leaf.OCSPServer[0], request, staplePending, now
	return e
}

// start starts the fetches that are due and returns how long there is nothing to
// do.
func (s *stapler) start(ctx context.Context, now time.Time, fetching *sync.WaitGroup) time.Duration {
	wait := maxRefresh
	for _, e := range s.entries {
		if e.state == stapleNone || e.fetching {
			continue
		}
		if !e.until.IsZero() {
			wait = min(wait, max(e.until.Sub(now), 0))
		}
		if due := e.next.Sub(now); due > 0 {
			wait = min(wait, due)
			continue
		}
		if s.running >= maxFetches {
			continue // the end of one comes first
		}
		e.fetching = true
		s.running++
		digest, url, request := e.digest, e.url, e.request
		fetching.Go(func() {
			bounded, cancel := context.WithTimeout(ctx, fetchTimeout)
			defer cancel()
			der, err := s.fetch(bounded, url, request)
			select {
			case s.results <- fetched{digest, der, err}:
			case <-ctx.Done():
			}
		})
	}
	return max(wait, time.Millisecond)
}

// took takes in what a fetch brought.
func (s *stapler) took(f fetched, now time.Time) {
	s.running--
	e := s.entries[f.digest]
	if e == nil {
		return // the certificate is gone
	}
	e.fetching = false
	result, err := "unreachable", f.err
	var r ocsp.Response
	if err == nil {
		result = "invalid"
		if r, err = ocsp.Parse(f.der, e.leaf, e.issuer, now); err == nil {
			result = string(r.Status)
		}
	}
	s.mu.Lock()
	s.figures.Fetches[result]++
	s.mu.Unlock()
	switch {
	case err != nil:
		e.failures++
		e.next = now.Add(jitter(min(firstRetry<<min(e.failures-1, 10), lastRetry)))
		if e.until.IsZero() {
			s.enter(e, stapleFailed, err)
		}
		return
	case r.Status == ocsp.Good:
		e.until = r.NextUpdate
		s.staples.Set(e.digest, f.der, r.NextUpdate)
		s.enter(e, stapleOK, nil)
	default:
		e.until = time.Time{}
		s.staples.Remove(e.digest)
		s.enter(e, string(r.Status), nil)
	}
	e.failures = 0
	// At half of its validity, so that there is time for as much trouble.
	half := r.ThisUpdate.Add(r.NextUpdate.Sub(r.ThisUpdate) / 2).Sub(now)
	e.next = now.Add(jitter(min(max(half, minRefresh), maxRefresh)))
}

// jitter takes up to a tenth off d, so that the replicas do not all ask at once.
func jitter(d time.Duration) time.Duration { return d - time.Duration(rand.Int64N(int64(d)/10+1)) }

// enter notes the state of e and tells of it when it is another.
func (s *stapler) enter(e *stapled, state string, err error) {
	if e.state == state {
		return
	}
	e.state = state
	log := s.log.With("certificate", e.name, "responder", e.url)
	switch {
	case state == stapleOK:
		log.Info("an OCSP response is stapled", "until", e.until)
	case err != nil:
		log.Warn("there is no OCSP response to staple", "must_staple", e.must, "error", err.Error())
	default:
		log.Error("the authority does not vouch for a certificate in service", "status", state, "must_staple", e.must)
	}
}

// count brings the figures up to date, and notes what has run out.
func (s *stapler) count(now time.Time) {
	states, unstapled := make(map[string]int), make(map[string]int)
	for _, e := range s.entries {
		if !e.until.IsZero() && !e.until.After(now) {
			e.until = time.Time{}
			s.staples.Remove(e.digest)
			s.enter(e, stapleFailed, errRanOut)
		}
		states[e.state]++
		if e.state != stapleOK {
			unstapled[strconv.FormatBool(e.must)]++
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.figures.Certificates, s.figures.Unstapled = states, unstapled
}
