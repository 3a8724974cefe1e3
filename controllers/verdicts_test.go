package controllers

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"

	"github.com/cardea-dev/cardea/controllers/translate"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

func TestVerdictsAreToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Now().Truncate(eventWindow).Add(eventWindow)))
		var log eventLog
		var lines []string
		counts := make(map[VerdictKey]int)
		events := runEvents(t, &log, nil)
		j := newJudge(Config{
			Events:  events,
			Logger:  funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{}),
			Metrics: Metrics{Verdicts: func(c map[VerdictKey]int) { counts = c }},
		}, func() bool { return true })
		at := func(field string) snapshot.Origin {
			o := shopIngress
			o.Field = field
			return o
		}
		first := []translate.Verdict{
			{Level: translate.Warning, Reason: translate.SecretInvalid, Origin: at("spec.tls[0]"), Message: "Bad."},
			{Level: translate.Info, Reason: translate.HostConflictWon, Origin: at("spec.rules[0]"), Message: "Won."},
		}
		j.take(first)
		j.take(first)
		j.take(append([]translate.Verdict(nil), first...)) // the same in another slice
		time.Sleep(time.Second)
		if len(lines) != 1 || !strings.Contains(lines[0], "Bad.") {
			t.Errorf("log = %q, want the warning once", lines)
		}
		told := make(map[string]string)
		for _, e := range log.list() {
			told[e.Reason] = e.Type + " " + e.Message
		}
		want := map[string]string{"SecretInvalid": "Warning spec.tls[0]: Bad.", "HostConflictWon": "Normal spec.rules[0]: Won."}
		if diff := cmp.Diff(want, told); diff != "" {
			t.Errorf("Events (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(map[VerdictKey]int{{translate.Warning, translate.SecretInvalid}: 1, {translate.Info, translate.HostConflictWon}: 1}, counts); diff != "" {
			t.Errorf("counts (-want +got):\n%s", diff)
		}

		// What is over is not told; what begins again is.
		asked := log.asked()
		j.take(nil)
		time.Sleep(2 * time.Minute)
		if got := log.asked() - asked; got != 0 {
			t.Errorf("%d requests when a verdict is over, want none", got)
		}
		j.take(first[:1])
		time.Sleep(time.Second)
		if len(lines) != 2 {
			t.Errorf("log = %q, want the warning a second time", lines)
		}
		for _, e := range log.list() {
			if e.Reason == string(translate.SecretInvalid) && e.Count != 2 {
				t.Errorf("count = %d when a verdict began again, want 2", e.Count)
			}
		}
	})
}

func TestVerdictMessage(t *testing.T) {
	v := func(field, message string) translate.Verdict {
		return translate.Verdict{Origin: snapshot.Origin{Kind: "Ingress", Field: field}, Message: message}
	}
	for _, c := range []struct {
		name string
		all  []translate.Verdict
		want string
	}{
		{"one", []translate.Verdict{v("a", "Bad.")}, "a: Bad."},
		{"no field", []translate.Verdict{v("", "Bad.")}, "Bad."},
		{"one message for two fields", []translate.Verdict{v("a", "Bad."), v("b", "Bad."), v("a", "Bad.")}, "a, b: Bad."},
		{"two messages", []translate.Verdict{v("a", "Bad."), v("b", "Worse.")}, "a: Bad. b: Worse."},
		{"with and without field", []translate.Verdict{v("", "Bad."), v("b", "Bad.")}, "b: Bad."},
	} {
		if got := verdictMessage(c.all); got != c.want {
			t.Errorf("%s: verdictMessage = %q, want %q", c.name, got, c.want)
		}
	}
}

// TestExpiryIsToldByTheLeader holds that of all replicas the leader alone writes
// Events about certificates that end, and that the next leader does so, too.
func TestExpiryIsToldByTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Now().Truncate(eventWindow).Add(eventWindow)))
		var log eventLog
		var lines []string
		leading := false
		j := newJudge(Config{
			Events: runEvents(t, &log, nil),
			Logger: funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{}),
		}, func() bool { return leading })
		verdicts := []translate.Verdict{
			{Level: translate.Warning, Reason: translate.CertificateExpiring, Origin: shopIngress, Message: "It ends."},
			{Level: translate.Warning, Reason: translate.SecretInvalid, Origin: shopIngress, Message: "Bad."},
		}
		want := func(when string, want map[string]int32) {
			t.Helper()
			j.take(verdicts)
			time.Sleep(time.Second)
			counts := make(map[string]int32)
			for _, e := range log.list() {
				counts[e.Reason] += e.Count
			}
			if diff := cmp.Diff(want, counts); diff != "" {
				t.Errorf("%s: counts of Events (-want +got):\n%s", when, diff)
			}
		}
		want("not the leader", map[string]int32{"SecretInvalid": 1})
		if len(lines) != 2 {
			t.Errorf("log = %q, want both verdicts", lines)
		}
		leading = true
		want("the leader now", map[string]int32{"SecretInvalid": 1, "CertificateExpiring": 1})
		want("the leader still", map[string]int32{"SecretInvalid": 1, "CertificateExpiring": 1})
		verdicts = append(verdicts[:1:1], translate.Verdict{Level: translate.Warning, Reason: translate.CertificateExpired, Origin: shopIngress, Message: "It has ended."})
		want("a new verdict", map[string]int32{"SecretInvalid": 1, "CertificateExpiring": 1, "CertificateExpired": 1})
		leading = false
		want("not any more", map[string]int32{"SecretInvalid": 1, "CertificateExpiring": 1, "CertificateExpired": 1})
		if len(lines) != 3 {
			t.Errorf("log = %q, want three lines", lines)
		}
	})
}
