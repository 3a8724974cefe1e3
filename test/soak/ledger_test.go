//go:build soak && linux

package soak

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// An end is how an exchange ended for its client.
type end string

const (
	whole    end = "whole"     // a complete answer of the backend, its content verified
	answered end = "error"     // an answer of Cardea's own that names a reason
	cut      end = "cut"       // the answer, or the tunnel, ended too early and showed it
	silent   end = "no answer" // the connection or stream ended without one
	left     end = "left"      // the client itself broke it off
	wrong    end = "WRONG"     // a complete answer with another content than expected
	stuck    end = "STUCK"     // nothing happened for 25 s
)

// A view is what a client knows of an exchange.
type view struct {
	end    end
	status int
	reason string // of an error answer
	// sent and got are bytes of the bodies; of a whole exchange they are exact.
	sent, got int64
	err       error
	begin     time.Time
}

// A record is the part of an access log record that is compared, or of one of the
// handshake log.
type record struct {
	Log      string    `json:"log"`
	Time     time.Time `json:"time"`
	Agent    string    `json:"user_agent"`
	Status   int       `json:"status"`
	Reason   string    `json:"reason"`
	Err      string    `json:"err"`
	Endpoint string    `json:"endpoint"`
	Attempts int       `json:"attempts"`
	Reused   bool      `json:"reused"`
	UpStatus int       `json:"upstream_status"`
	Duration float64   `json:"duration_seconds"`
	In       int64     `json:"bytes_in"`
	Out      int64     `json:"bytes_out"`
	Path     string    `json:"path"`
	Proto    string    `json:"proto"`
	Ingress  string    `json:"ingress"`
	Upgraded bool      `json:"upgraded"`
}

// A ledger holds the clients' views of all exchanges against Cardea's records.
type ledger struct {
	// excused reports whether a failure that is the upstream's has a cause that the
	// test knows of.
	excused func(record) bool

	mu       sync.Mutex
	views    map[string]view   // of exchanges that have no record yet
	records  map[string]record // of exchanges whose clients have not finished
	ends     map[string]map[end]int
	pairs    map[pair]int
	reasons  map[string]int // of the requests that the log ascribes to the main Ingress
	shakes   map[string]int // reasons of the handshake log
	refused  map[string]int // clients' failures to connect
	mistakes []string       // the first of them
	mistaken int
}

type pair struct {
	end    end
	status int
	reason string
}

func newLedger(excused func(record) bool) *ledger {
	return &ledger{
		excused: excused, views: map[string]view{}, records: map[string]record{}, ends: map[string]map[end]int{},
		pairs: map[pair]int{}, reasons: map[string]int{}, shakes: map[string]int{}, refused: map[string]int{},
	}
}

// line takes a line of Cardea's standard output.
func (l *ledger) line(b []byte) {
	var rec record
	if err := json.Unmarshal(b, &rec); err != nil {
		l.mistake("a record is no JSON: %v: %s", err, b)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if rec.Log == "handshake" {
		l.shakes[rec.Reason]++
		return
	}
	if rec.Ingress == namespace+"/"+mainIngress {
		l.reasons[rec.Reason]++
	}
	if v, ok := l.views[rec.Agent]; ok {
		delete(l.views, rec.Agent)
		l.judge(v, rec)
		return
	}
	if _, ok := l.records[rec.Agent]; ok {
		l.mistakeLocked("%s has two records: %+v", rec.Agent, rec)
	}
	l.records[rec.Agent] = rec
}

// see takes what a client knows of the exchange that agent names.
func (l *ledger) see(kind, agent string, v view) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ends[kind] == nil {
		l.ends[kind] = map[end]int{}
	}
	l.ends[kind][v.end]++
	if rec, ok := l.records[agent]; ok {
		delete(l.records, agent)
		l.judge(v, rec)
		return
	}
	l.views[agent] = v
}

// judge compares two views of one exchange. The caller holds l.mu.
func (l *ledger) judge(v view, rec record) {
	l.pairs[pair{v.end, v.status, rec.Reason}]++
	if why := l.compare(v, rec); why != "" {
		l.mistakeLocked("%s: %s:\n\tclient: %s, status %d %s, sent %d, got %d, %v, after %v\n\tcardea: %+v",
			rec.Agent, why, v.end, v.status, v.reason, v.sent, v.got, v.err, time.Since(v.begin).Round(time.Millisecond), rec)
	}
}

// upstreamReasons are what killed backends may cause. Whatever else is ours or the
// client's needs a cause of its own.
var upstreamReasons = []string{
	"connect_refused", "connect_failed", "upstream_closed", "upstream_reset", "upstream_send", "upstream_cut",
}

// compare returns why the two views do not fit, "" if they do.
func (l *ledger) compare(v view, rec record) string {
	upstream := slices.Contains(upstreamReasons, rec.Reason)
	if upstream && !l.excused(rec) {
		return "the upstream failed while the backend served"
	}
	if rec.Reason == "connect_refused" && strings.HasPrefix(rec.Path, "/rpc/") {
		return "a connection was refused, and the other endpoint was not asked" // one is down at a time
	}
	switch v.end {
	case whole:
		switch {
		case rec.Upgraded && upstream && rec.In == v.sent && rec.Out == v.got:
			// The client had its messages and left; then the backend's half was cut.
		case rec.Reason != "ok":
			return "a whole answer, and a failure in the log"
		case rec.Status != v.status:
			return "another status in the log"
		case rec.In != v.sent || rec.Out != v.got:
			return "other sizes in the log"
		}
	case answered:
		switch {
		case rec.Reason != v.reason || rec.Status != v.status:
			return "another reason or status in the log"
		case rec.Reason == "no_route" && rec.Path == livePath:
		case !upstream:
			return "a reason that nothing in this test accounts for"
		}
	case cut, silent:
		if rec.Upgraded && rec.Reason == "ok" && rec.Out == v.got && l.excused(rec) {
			return "" // a tunnel knows no other end than its connection's; this one was the backend's
		}
		if !upstream {
			return "a failure without a reason for it in the log"
		}
	case left:
		// What was under way when the client left may have ended by then.
		if !upstream && rec.Reason != "client_closed" && rec.Reason != "ok" {
			return "a reason that nothing in this test accounts for"
		}
	default:
		return "never right"
	}
	return ""
}

// refuse notes that a client could not connect, or agree on TLS.
func (l *ledger) refuse(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused[err.Error()]++
	l.mistakeLocked("a client could not connect: %v", err)
}

func (l *ledger) mistake(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mistakeLocked(format, args...)
}

func (l *ledger) mistakeLocked(format string, args ...any) {
	if l.mistaken++; len(l.mistakes) < 30 {
		l.mistakes = append(l.mistakes, fmt.Sprintf(format, args...))
	}
}

// unmatched returns how many exchanges lack a record, and how many records a client.
func (l *ledger) unmatched() (views, records int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.views), len(l.records)
}
