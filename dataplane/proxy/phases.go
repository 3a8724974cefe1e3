package proxy

import (
	"sync"
	"time"
	"weak"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
	"github.com/cardea-dev/cardea/dataplane/upstream"
)

// A RequestPhase sees a request before it goes to an endpoint. It may answer it, with
// [Exchange.Answer]; then nothing after it runs.
type RequestPhase func(x *Exchange) (answered bool, err *outcome.Error)

// An UpstreamRequestPhase edits the head that is sent to the endpoint. Every
// attempt starts from a fresh copy of the client's head, so it runs once for each.
type UpstreamRequestPhase func(x *Exchange, req *message.Request) *outcome.Error

// A ResponsePhase edits the head of a response.
type ResponsePhase func(x *Exchange, res *message.Response) *outcome.Error

// A HeadPhase edits the head that the client gets, as the last before it is sent.
type HeadPhase func(x *Exchange, res *message.Response)

// Hooks are the phases in which a filter takes part for one policy. Any may be
// nil; the zero Hooks take no part at all.
type Hooks struct {
	// Request runs once the route is known: refuse, redirect, answer.
	Request RequestPhase
	// Cache runs after every Request phase: look up a stored response.
	Cache RequestPhase
	// UpstreamRequest runs once an endpoint is connected, before anything is sent.
	UpstreamRequest UpstreamRequestPhase
	// UpstreamResponse runs before a response could be stored: what it changes is
	// in the stored one too.
	UpstreamResponse ResponsePhase
	// Response runs after that, for each response of a backend.
	Response ResponsePhase
	// Head runs on every final head that the client gets once the route is known:
	// that of a backend, and that of an answer of our own, be it a filter's or a
	// failure. It runs again if the head could not be sent and another one is.
	Head HeadPhase
}

// A Filter says in which phases it takes part under a policy. It is called once
// for each distinct policy, when a route that has it is published; the Hooks it
// returns are shared by all routes of that policy and called from many goroutines.
type Filter func(snapshot.Policy) Hooks

// A plan is what Bind makes of a route: everything about it that can be decided
// before there is a request.
type plan struct {
	*phases
	// pool serves the route; nil if answer is set.
	pool   *upstream.Pool
	answer *outcome.Error
}

// phases are what all routes of one policy share.
type phases struct {
	policy           snapshot.Policy // defaults filled in
	request, cache   []RequestPhase
	upstreamRequest  []UpstreamRequestPhase
	upstreamResponse []ResponsePhase
	response         []ResponsePhase
	final            []HeadPhase
}

// Bind compiles r; [snapshot.Compile] calls it. The pool that r names must be in
// the upstream set already.
func (p *Proxy) Bind(r *snapshot.Route) any {
	pl := &plan{phases: p.policies.phases(r.Policy, p.filters)}
	switch {
	case r.Answer != nil:
		pl.answer = &outcome.Error{Side: outcome.Internal, Reason: outcome.Reason(r.Answer.Reason), Status: r.Answer.Status}
	default:
		if pl.pool = p.upstreams.Pool(r.Pool); pl.pool == nil {
			pl.answer = &outcome.Error{Side: outcome.Internal, Reason: outcome.InternalError, Detail: "the route's pool is missing"}
		}
	}
	return pl
}

// policies share the phase lists of equal policies for as long as a route has
// them.
type policies struct {
	mu      sync.Mutex
	byValue map[snapshot.Policy]weak.Pointer[phases]
	sweepAt int
}

func (s *policies) phases(policy snapshot.Policy, filters []Filter) *phases {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ph := s.byValue[policy].Value(); ph != nil {
		return ph
	}
	if s.byValue == nil {
		s.byValue = make(map[snapshot.Policy]weak.Pointer[phases])
	}
	if len(s.byValue) >= s.sweepAt {
		for k, v := range s.byValue {
			if v.Value() == nil {
				delete(s.byValue, k)
			}
		}
		s.sweepAt = 2*len(s.byValue) + 64
	}
	ph := compile(policy, filters)
	s.byValue[policy] = weak.Make(ph)
	return ph
}

func compile(policy snapshot.Policy, filters []Filter) *phases {
	ph := &phases{policy: withDefaults(policy)}
	for _, filter := range filters {
		h := filter(ph.policy)
		ph.request = appendSet(ph.request, h.Request, h.Request != nil)
		ph.cache = appendSet(ph.cache, h.Cache, h.Cache != nil)
		ph.upstreamRequest = appendSet(ph.upstreamRequest, h.UpstreamRequest, h.UpstreamRequest != nil)
		ph.upstreamResponse = appendSet(ph.upstreamResponse, h.UpstreamResponse, h.UpstreamResponse != nil)
		ph.response = appendSet(ph.response, h.Response, h.Response != nil)
		ph.final = appendSet(ph.final, h.Head, h.Head != nil)
	}
	return ph
}

func appendSet[T any](list []T, v T, set bool) []T {
	if !set {
		return list
	}
	return append(list, v)
}

// withDefaults fills in what a policy leaves at zero.
func withDefaults(p snapshot.Policy) snapshot.Policy {
	if p.ConnectTimeout <= 0 {
		p.ConnectTimeout = 5 * time.Second
	}
	if p.ReadTimeout <= 0 {
		p.ReadTimeout = 60 * time.Second
	}
	if p.SendTimeout <= 0 {
		p.SendTimeout = 60 * time.Second
	}
	if p.Tries <= 0 {
		p.Tries = 3
	}
	return p
}
