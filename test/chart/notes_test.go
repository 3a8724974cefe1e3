package chart

import (
	"strings"
	"testing"

	"github.com/cardea-dev/cardea/api/annotation"
	"github.com/cardea-dev/cardea/api/configmap"
)

// TestClosingKeys holds that the notes warn of each key of controller.config by which
// the program closes all paths because it does not have what the key asks for, and of
// no other one.
func TestClosingKeys(t *testing.T) {
	var values strings.Builder
	values.WriteString("controller:\n  config:\n")
	for _, k := range configmap.All() {
		values.WriteString("    " + k.Name + ": \"true\"\n")
	}
	notes := mustRender(t, values.String()).notes
	_, list, ok := strings.Cut(notes, "All paths of all Ingresses answer 503 until they are removed:\n")
	if !ok {
		t.Fatalf("no warning in the notes:\n%s", notes)
	}
	list, _, _ = strings.Cut(list, "\n\n")
	for _, k := range configmap.All() {
		_, problems := configmap.Parse(map[string]string{k.Name: "true"})
		closes := false
		for _, p := range problems {
			closes = closes || k.Effect == annotation.Protects && p.Err != nil && strings.Contains(p.Err.Error(), "not supported")
		}
		if warned := strings.Contains(list+"\n", "  - "+k.Name+"\n"); warned != closes {
			t.Errorf("the notes warn of %s: %v, want %v", k.Name, warned, closes)
		}
	}
	if notes := mustRender(t, "controller: {config: {enable-modsecurity: \"false\", http-snippet: \"\", proxy-body-size: 8m}}").notes; strings.Contains(notes, "answer 503") {
		t.Errorf("the notes warn though no key closes anything:\n%s", notes)
	}
}

// TestNotesOnOldSelectors: what selects the pods or the metrics of ingress-nginx is
// accepted, selects nothing, and is told.
func TestNotesOnOldSelectors(t *testing.T) {
	notes := mustRender(t, `
controller:
  affinity:
    podAntiAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
      - labelSelector: {matchLabels: {app.kubernetes.io/name: ingress-nginx}}
        topologyKey: kubernetes.io/hostname
  metrics:
    enabled: true
    prometheusRule:
      enabled: true
      rules:
      - {alert: Old, expr: nginx_ingress_controller_config_last_reload_successful == 0}
`).notes
	for _, want := range []string{
		"controller.affinity: it selects the pods of ingress-nginx; those of Cardea have app.kubernetes.io/name: cardea",
		"controller.metrics.prometheusRule.rules: they name metrics of ingress-nginx",
	} {
		if !strings.Contains(notes, want) {
			t.Errorf("the notes lack %q:\n%s", want, notes)
		}
	}
}

// TestNoteOnClass: who brings the values of ingress-nginx without a class is told that
// its Ingresses are not served, and nobody else is.
func TestNoteOnClass(t *testing.T) {
	const note = "NOTE: only Ingresses of the class cardea are served."
	for values, want := range map[string]bool{
		"": false,
		"controller: {config: {proxy-body-size: 8m}}":                                                         true,
		"controller: {lifecycle: {preStop: {exec: {command: [/wait-shutdown]}}}}":                             true,
		"controller: {config: {proxy-body-size: 8m}, ingressClassResource: {name: nginx}}":                    false,
		"controller: {config: {proxy-body-size: 8m}, ingressClassResource: {default: true}, kind: DaemonSet}": true,
	} {
		if notes := mustRender(t, values).notes; strings.Contains(notes, note) != want {
			t.Errorf("values %q: the note is there: %v, want %v, in\n%s", values, !want, want, notes)
		}
	}
}
