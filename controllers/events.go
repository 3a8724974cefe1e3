package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	"k8s.io/client-go/rest"

	"github.com/cardea-dev/cardea/controllers/translate"
	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// Events writes Kubernetes Events on the objects of users: verdicts on what they
// wrote, and why TLS handshakes with their hosts fail.
//
// It has a writer of its own because the recorders of client-go drop Events of a
// busy source and never change the message of one that they wrote. Here an Event
// is named by a hash of object, reason and a window of ten minutes. The replica
// that comes first creates it, all others add to it, so that the number of
// Events depends neither on the number of replicas nor on that of handshakes.
// A replica writes an Event at most once a minute, and all of them together
// within a budget.
//
// Report and the sink never wait for the API server: they count in bounded
// memory, and what does not fit is dropped and counted.
type Events struct {
	cfg    EventsConfig
	store  eventStore
	budget *rate.Limiter
	tally  *tally
	wake   chan struct{}

	mu       sync.Mutex
	reported map[subject]report // not yet taken by Run
	dropped  int

	// subjects belongs to Run.
	subjects map[subject]*pending
}

// EventsConfig configures [Events].
type EventsConfig struct {
	// REST says how to reach the API server.
	REST *rest.Config
	// Controller is the Events' reporting controller. Default
	// [translate.DefaultControllerName].
	Controller string
	// Instance is the Events' reporting instance: the name of this replica.
	Instance string
	// ClientAddress says how much of client addresses is told. Default
	// [ClientPrefix].
	ClientAddress ClientAddress
	// PerSecond and Burst are the budget for all Events of this replica together.
	// Default 10 and 100.
	PerSecond float64
	Burst     int
	// MaxSubjects bounds the pairs of object and reason that are remembered, and
	// the triples of object, host and reason that are counted between two writes.
	// Default 4096.
	MaxSubjects int
	// Dropped, if set, is called with the number of facts for which there was no
	// room.
	Dropped func(n int)
	Logger  logr.Logger

	store eventStore // tests: instead of REST
}

// ClientAddress says how much of the addresses of clients Events tell; those who
// own a namespace read them.
type ClientAddress string

// The values of ClientAddress.
const (
	ClientPrefix ClientAddress = "prefix" // 203.0.113.0/24, 2001:db8::/48
	ClientFull   ClientAddress = "full"   // 203.0.113.7
	ClientNone   ClientAddress = "none"
)

const (
	// eventWindow is the time that one Event stands for.
	eventWindow = 10 * time.Minute
	// eventPause is the least time between two writes of one Event.
	eventPause = time.Minute
	// eventDelay lets a burst gather before it is written for the first time.
	eventDelay = 500 * time.Millisecond
	// eventRetry is the wait after the API server refused or failed a write.
	eventRetry = 10 * time.Second
	// maxMessage is what the API allows in an Event's note, in bytes.
	maxMessage = 1024
)

// A subject is what an Event is about: there is one Event a window for it.
type subject struct {
	object snapshot.Origin // without field
	reason string
}

// A report is a judgement on an object, to be told once.
type report struct {
	warning bool
	message string
}

// pending is what is to be written about a subject.
type pending struct {
	report    *report
	handshake *handshakes
	// next is when it may be written.
	next time.Time
	// written is the Event as last written by this replica, to change it without
	// reading it first.
	written *written
}

// NewEvents returns a writer; [Events.Run] makes it write.
func NewEvents(cfg EventsConfig) (*Events, error) {
	if cfg.Controller == "" {
		cfg.Controller = translate.DefaultControllerName
	}
	if cfg.ClientAddress == "" {
		cfg.ClientAddress = ClientPrefix
	}
	switch cfg.ClientAddress {
	case ClientPrefix, ClientFull, ClientNone:
	default:
		return nil, fmt.Errorf("controllers: client address in events is %q, want full, prefix or none", cfg.ClientAddress)
	}
	if cfg.PerSecond == 0 {
		cfg.PerSecond = 10
	}
	if cfg.Burst == 0 {
		cfg.Burst = 100
	}
	if cfg.MaxSubjects == 0 {
		cfg.MaxSubjects = 4096
	}
	if cfg.store == nil {
		if cfg.REST == nil {
			return nil, errors.New("controllers: events need a REST config")
		}
		store, err := newEventStore(cfg.REST)
		if err != nil {
			return nil, fmt.Errorf("controllers: events: %w", err)
		}
		cfg.store = store
	}
	return &Events{
		cfg:      cfg,
		store:    cfg.store,
		budget:   rate.NewLimiter(rate.Limit(cfg.PerSecond), cfg.Burst),
		tally:    newTally(cfg.MaxSubjects, cfg.ClientAddress),
		wake:     make(chan struct{}, 1),
		reported: make(map[subject]report),
		subjects: make(map[subject]*pending),
	}, nil
}

// Sink counts the failed handshakes of declared hosts. It may be called from any
// goroutine and never waits.
func (e *Events) Sink() outcome.Sink {
	return outcome.Sink{Handshake: func(h *outcome.Handshake) {
		if tellsOwner(h) && e.tally.add(h) {
			e.notify()
		}
	}}
}

// tellsOwner reports whether the owner of an Ingress should hear of a handshake.
// Clients that just leave are not his affair: health checks and scanners do it
// all day, and they are counted in the metrics.
func tellsOwner(h *outcome.Handshake) bool {
	if h.Result == outcome.Done || h.Host == "" || h.Ingress.UID == "" {
		return false
	}
	switch h.Reason {
	case outcome.EOF, outcome.Reset, outcome.AlertUserCanceled, outcome.AlertECHRequired, outcome.NotReady, outcome.Draining, outcome.Shutdown, outcome.Shed:
		return false
	}
	return true
}

// Report tells the owner of object something about it. A later report about the
// same object and reason replaces one that was not yet written. An object without
// UID cannot have Events.
func (e *Events) Report(object snapshot.Origin, warning bool, reason, message string) {
	if object.UID == "" {
		return
	}
	key := subject{object.Object(), reason}
	e.mu.Lock()
	_, replaces := e.reported[key]
	if replaces || len(e.reported) < e.cfg.MaxSubjects {
		e.reported[key] = report{warning, message}
	} else {
		e.dropped++
	}
	e.mu.Unlock()
	e.notify()
}

// SetClientAddress replaces [EventsConfig.ClientAddress]; "" is its default.
// Addresses that were counted before are told as they were.
func (e *Events) SetClientAddress(c ClientAddress) {
	c = cmp.Or(c, e.cfg.ClientAddress)
	e.tally.clients.Store(&c)
}

func (e *Events) notify() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// Run writes until ctx ends.
func (e *Events) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.wake:
			// Gather: what began now goes on for some time as a rule.
			timer.Reset(eventDelay)
			select {
			case <-ctx.Done():
				return
			case <-timer.C:
			}
		case <-timer.C:
		}
		e.take(time.Now())
		next := e.writeDue(ctx, time.Now())
		timer.Reset(time.Until(next))
	}
}

// take moves what was reported and counted to its subjects.
func (e *Events) take(now time.Time) {
	e.mu.Lock()
	reported, dropped := e.reported, e.dropped
	e.reported, e.dropped = make(map[subject]report), 0
	e.mu.Unlock()

	for key, r := range reported {
		if p := e.subject(key, now); p != nil {
			p.report = &r
		} else {
			dropped++
		}
	}
	counted, lost := e.tally.drain()
	dropped += lost
	for key, h := range counted {
		p := e.subject(subject{key.ingress, string(key.reason)}, now)
		if p == nil {
			dropped += h.count
			continue
		}
		if p.handshake == nil {
			p.handshake = &handshakes{reason: key.reason}
		}
		p.handshake.add(key.host, h)
	}
	if dropped > 0 {
		e.cfg.Logger.V(1).Info("events dropped", "count", dropped)
		if e.cfg.Dropped != nil {
			e.cfg.Dropped(dropped)
		}
	}
}

// subject returns the pending entry of key, nil if there is no room for it.
func (e *Events) subject(key subject, now time.Time) *pending {
	if p, ok := e.subjects[key]; ok {
		return p
	}
	if len(e.subjects) >= e.cfg.MaxSubjects {
		return nil
	}
	p := &pending{next: now}
	e.subjects[key] = p
	return p
}

// writeDue writes what may be written now and returns when to look again.
func (e *Events) writeDue(ctx context.Context, now time.Time) time.Time {
	again := now.Add(eventWindow)
	for key, p := range e.subjects {
		switch {
		case p.report == nil && p.handshake == nil:
			// Silent: forget it once another write would be allowed anyway.
			if now.After(p.next) {
				delete(e.subjects, key)
				continue
			}
		case p.next.After(now):
		case !e.budget.AllowN(now, 1):
			p.next = now.Add(time.Second)
		case !e.write(ctx, key, p, now):
			// The API server is in trouble: the others need not be tried.
			return now.Add(eventRetry)
		}
		if p.next.Before(again) {
			again = p.next
		}
	}
	// The map is walked again at the earliest in a moment.
	if least := now.Add(eventDelay); again.Before(least) {
		again = least
	}
	return again
}
