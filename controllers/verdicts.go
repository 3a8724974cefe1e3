package controllers

import (
	"slices"
	"strings"

	"github.com/cardea-dev/cardea/controllers/translate"
)

// A judge tells what is new among the verdicts: each verdict is told once when it
// appears, in the log and as an Event on the object, and its end in the log.
//
// An Event about a certificate that ends is the leader's to write: time makes it due
// at all replicas at once, and again with each that starts.
type judge struct {
	cfg     Config
	leads   func() bool
	led     bool // at the last take
	last    []translate.Verdict
	current map[translate.Verdict]struct{}
}

func newJudge(cfg Config, leads func() bool) *judge {
	return &judge{cfg: cfg, leads: leads, current: make(map[translate.Verdict]struct{})}
}

// take compares verdicts, sorted and all there are, with those before.
func (j *judge) take(verdicts []translate.Verdict) {
	began := !j.led && j.leads()
	j.led = j.leads()
	if same(j.last, verdicts) && !began {
		return
	}
	next := make(map[translate.Verdict]struct{}, len(verdicts))
	fresh := make(map[subject]struct{})
	for _, v := range verdicts {
		if v.Reason.Advice() {
			continue // check tells it
		}
		next[v] = struct{}{}
		_, known := j.current[v]
		if !known {
			j.log(v)
		}
		if ends := byTime(v.Reason); !known && !ends || ends && j.led && (!known || began) {
			fresh[subject{v.Origin.Object(), string(v.Reason)}] = struct{}{}
		}
	}
	for v := range j.current {
		if _, still := next[v]; !still {
			j.cfg.Logger.V(1).Info("a verdict is over", keys(v)...)
		}
	}
	j.last, j.current = verdicts, next
	j.report(verdicts, fresh)
	j.count(verdicts)
}

// byTime reports whether time alone makes a verdict due.
func byTime(r translate.Reason) bool {
	return r == translate.CertificateExpiring || r == translate.CertificateExpired
}

// same reports whether a and b are one slice: the translator returns the same as
// long as nothing changes.
func same(a, b []translate.Verdict) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

func (j *judge) log(v translate.Verdict) {
	log := j.cfg.Logger
	if v.Level == translate.Info {
		log = log.V(1)
	}
	log.Info("verdict", append(keys(v), "message", v.Message)...)
}

func keys(v translate.Verdict) []any {
	all := []any{"verdict", v.Level.String(), "reason", string(v.Reason), "object", v.Origin.String()}
	if !v.Other.IsZero() {
		all = append(all, "other", v.Other.String())
	}
	return all
}

// report writes Events for the subjects that have something new. One Event tells
// all that there is to say about an object for one reason.
func (j *judge) report(verdicts []translate.Verdict, fresh map[subject]struct{}) {
	if j.cfg.Events == nil || len(fresh) == 0 {
		return
	}
	told := make(map[subject][]translate.Verdict, len(fresh))
	for _, v := range verdicts {
		key := subject{v.Origin.Object(), string(v.Reason)}
		if _, ok := fresh[key]; ok {
			told[key] = append(told[key], v)
		}
	}
	for key, all := range told {
		warning := slices.ContainsFunc(all, func(v translate.Verdict) bool { return v.Level != translate.Info })
		j.cfg.Events.Report(key.object, warning, key.reason, verdictMessage(all))
	}
}

// verdictMessage puts the messages of verdicts about one object together, those
// that say the same under all their fields.
func verdictMessage(all []translate.Verdict) string {
	var messages []string
	fields := make(map[string][]string)
	for _, v := range all {
		if _, ok := fields[v.Message]; !ok {
			messages = append(messages, v.Message)
		}
		if at := v.Origin.Field; at != "" && !slices.Contains(fields[v.Message], at) {
			fields[v.Message] = append(fields[v.Message], at)
		} else if fields[v.Message] == nil {
			fields[v.Message] = []string{}
		}
	}
	for i, m := range messages {
		if at := fields[m]; len(at) > 0 {
			messages[i] = strings.Join(at, ", ") + ": " + m
		}
	}
	return strings.Join(messages, " ")
}

func (j *judge) count(verdicts []translate.Verdict) {
	if j.cfg.Metrics.Verdicts == nil {
		return
	}
	counts := make(map[VerdictKey]int)
	for _, v := range verdicts {
		counts[VerdictKey{v.Level, v.Reason}]++
	}
	j.cfg.Metrics.Verdicts(counts)
}
