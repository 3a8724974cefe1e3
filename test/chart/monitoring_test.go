package chart

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
	"sigs.k8s.io/yaml"
)

// A query is one expression, and the labels that texts about it name.
type query struct {
	place, expr string
	labels      []string
}

// TestQueries holds that every expression of the alerts and of the dashboard can
// be parsed, and that every metric and label in it, or in a text about its result,
// is on a page of metrics of the running program.
func TestQueries(t *testing.T) {
	queries := append(alertQueries(t), dashboardQueries(t)...)
	if len(queries) < 40 {
		t.Fatalf("%d expressions, want those of alerts and dashboard", len(queries))
	}
	have := realSeries(t)
	for _, q := range queries {
		expr, err := parser.NewParser(parser.Options{}).ParseExpr(q.expr)
		if err != nil {
			t.Errorf("%s: %q: %v", q.place, q.expr, err)
			continue
		}
		check(t, q, expr, have)
		if strings.HasPrefix(q.place, "panel ") {
			checkRatios(t, q, expr)
		}
	}
}

// targetLabels are those that a scrape adds.
var targetLabels = []string{"instance", "job"}

func check(t *testing.T, q query, expr parser.Expr, have series) {
	t.Helper()
	known := make(map[string]bool)
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		v, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		for _, metric := range metricsOf(v) {
			names, ok := have[metric]
			if !ok {
				t.Errorf("%s: there is no metric %s", q.place, metric)
				continue
			}
			maps.Copy(known, names)
			for _, m := range v.LabelMatchers {
				if m.Name != "__name__" && !names[m.Name] && !slices.Contains(targetLabels, m.Name) {
					t.Errorf("%s: %s has no label %s", q.place, metric, m.Name)
				}
			}
		}
		for _, m := range v.LabelMatchers {
			if m.Name == "reason" {
				checkReasons(t, q, m.Value)
			}
		}
		return nil
	})
	for _, name := range targetLabels {
		known[name] = true
	}
	use := func(names []string, where string) {
		for _, name := range names {
			if !known[name] {
				t.Errorf("%s: %s names the label %s, which no metric of the expression has", q.place, where, name)
			}
		}
	}
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.AggregateExpr:
			use(n.Grouping, "an aggregation")
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				use(n.VectorMatching.MatchingLabels, "a matching")
			}
		}
		return nil
	})
	use(q.labels, "a text")
}

// metricsOf returns the metrics that v selects: the one that it names, or those
// that it lists for __name__.
func metricsOf(v *parser.VectorSelector) (all []string) {
	for _, m := range v.LabelMatchers {
		if m.Name == "__name__" {
			all = append(all, strings.Split(m.Value, "|")...)
		}
	}
	return all
}

// checkReasons holds that reasons are of the closed lists. Those that end in .* are
// prefixes.
func checkReasons(t *testing.T, q query, pattern string) {
	t.Helper()
	documented := readText(t, "docs/reasons.md") + readText(t, "docs/verdicts.md")
	for reason := range strings.SplitSeq(pattern, "|") {
		prefix, isPrefix := strings.CutSuffix(reason, ".*")
		if !isPrefix {
			prefix += "`"
		}
		if !strings.Contains(documented, "| `"+prefix) {
			t.Errorf("%s: %s is no reason of docs/reasons.md or docs/verdicts.md", q.place, reason)
		}
	}
}

func readText(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// checkRatios holds that a share of what there is has a value, 0, where nothing of
// the kind has happened yet: without that a panel of an install in good health says
// that there is no data.
func checkRatios(t *testing.T, q query, expr parser.Expr) {
	t.Helper()
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		ratio, ok := n.(*parser.BinaryExpr)
		if !ok || ratio.Op != parser.DIV {
			return nil
		}
		if whole := matchers(ratio.RHS); whole == 0 || matchers(ratio.LHS) <= whole {
			return nil // a change of unit, or two counts of the same things
		}
		if part, ok := ratio.LHS.(*parser.ParenExpr); !ok || !strings.HasSuffix(part.String(), " or vector(0))") {
			t.Errorf("%s: want (… or vector(0)) / …, got %s", q.place, ratio)
		}
		return nil
	})
}

// matchers counts by how many labels the series of expr are selected.
func matchers(expr parser.Expr) (n int) {
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if v, ok := node.(*parser.VectorSelector); ok {
			n += len(v.LabelMatchers)
		}
		return nil
	})
	return n
}

var (
	templateLabel = regexp.MustCompile(`\$labels\.(\w+)`)
	legendLabel   = regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`)
)

func found(re *regexp.Regexp, text string) (all []string) {
	for _, m := range re.FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	return all
}

// A ruleFile is a file of Prometheus rules.
type ruleFile struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert, Expr, For    string
			Labels, Annotations map[string]string
		}
	}
}

func alertQueries(t *testing.T) (queries []query) {
	t.Helper()
	var file ruleFile
	if err := yaml.UnmarshalStrict([]byte(readText(t, "charts/cardea/files/alerts.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	docs := readText(t, "docs/monitoring.md")
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			texts := r.Annotations["summary"] + " " + r.Annotations["description"]
			queries = append(queries, query{r.Alert, r.Expr, found(templateLabel, texts)})
			if s := r.Labels["severity"]; s != "warning" && s != "critical" {
				t.Errorf("%s: severity = %q, want warning or critical", r.Alert, s)
			}
			if r.For == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%s: want for, a summary and a description", r.Alert)
			}
			if !strings.Contains(docs, "| `"+r.Alert+"` |") {
				t.Errorf("docs/monitoring.md has no line about %s", r.Alert)
			}
		}
	}
	for line := range strings.SplitSeq(docs, "\n") {
		if question, expr, ok := strings.Cut(strings.Trim(line, "| `"), "? | `"); ok {
			queries = append(queries, query{place: "docs/monitoring.md: " + question, expr: strings.ReplaceAll(expr, `\|`, "|")})
		}
	}
	return queries
}

// A dashboard is the part of Grafana's model that the test reads.
type dashboard struct {
	UID        string
	Templating struct {
		List []struct{ Name, Type, Query string }
	}
	Panels []struct {
		Title, Type, Description string
		GridPos                  struct{ X, Y, W, H int }
		Targets                  []struct{ Expr, LegendFormat string }
		FieldConfig              struct {
			Defaults struct {
				Unit, NoValue string
				Thresholds    *struct{ Steps []any }
			}
		}
	}
}

func dashboardQueries(t *testing.T) (queries []query) {
	t.Helper()
	var d dashboard
	if err := json.Unmarshal([]byte(readText(t, "charts/cardea/files/dashboard.json")), &d); err != nil {
		t.Fatal(err)
	}
	variables := []string{"$__rate_interval", "5m"}
	for _, v := range d.Templating.List {
		variables = append(variables, "$"+v.Name, ".*")
		if v.Type != "query" {
			continue
		}
		metric, label, ok := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(v.Query, "label_values("), ")"), ", ")
		if !ok {
			t.Errorf("variable %s: %q, want label_values(METRIC, LABEL)", v.Name, v.Query)
		}
		queries = append(queries, query{"variable " + v.Name, metric, []string{label}})
	}
	replace := strings.NewReplacer(variables...)
	for i, p := range d.Panels {
		for _, other := range d.Panels[:i] {
			a, b := p.GridPos, other.GridPos
			if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("panels %q and %q lie on each other", p.Title, other.Title)
			}
		}
		if p.Type != "row" && (p.Description == "" || len(p.Targets) == 0) {
			t.Errorf("panel %q: want a description and an expression", p.Title)
		}
		if unit := p.FieldConfig.Defaults.Unit; unit == "" && (p.Type == "stat" || p.Type == "timeseries") {
			t.Errorf("panel %q: want a unit", p.Title)
		}
		// Grafana colours everything from 80 red where a panel does not say better.
		if d := p.FieldConfig.Defaults; p.Type == "stat" && (d.Thresholds == nil || d.NoValue == "") {
			t.Errorf("panel %q: want thresholds, and a text for no value", p.Title)
		}
		for _, target := range p.Targets {
			expr := replace.Replace(target.Expr)
			if strings.Contains(expr, "$") {
				t.Errorf("panel %q: %q has a variable that the dashboard does not", p.Title, target.Expr)
			}
			queries = append(queries, query{"panel " + p.Title, expr, found(legendLabel, target.LegendFormat)})
		}
	}
	return queries
}

// TestMonitoringObjects holds that what the Prometheus operator and Grafana's
// sidecar get is what the files say.
func TestMonitoringObjects(t *testing.T) {
	list := objects(t, mustRender(t, "controller: {metrics: {enabled: true, serviceMonitor: {enabled: true}, prometheusRule: {enabled: true, rules: [{alert: Mine, expr: up == 0}]}, dashboard: {enabled: true}}}").manifest)
	var want struct{ Groups []any }
	if err := yaml.Unmarshal([]byte(readText(t, "charts/cardea/files/alerts.yaml")), &want); err != nil {
		t.Fatal(err)
	}
	rule := find(t, list, "PrometheusRule", "cardea")
	groups := rule["spec"].(map[string]any)["groups"].([]any)
	if len(groups) != 2 || yamlOf(t, groups[0]) != yamlOf(t, want.Groups[0]) {
		t.Errorf("groups of the PrometheusRule = %v, want those of alerts.yaml and one's own", yamlOf(t, groups))
	}
	data := find(t, list, "ConfigMap", "cardea-dashboard")["data"].(map[string]any)["cardea.json"].(string)
	if strings.TrimSpace(data) != strings.TrimSpace(readText(t, "charts/cardea/files/dashboard.json")) {
		t.Error("the ConfigMap does not have what dashboard.json has")
	}
	monitor := find(t, list, "ServiceMonitor", "cardea")
	selector := monitor["spec"].(map[string]any)["selector"].(map[string]any)["matchLabels"].(map[string]any)
	service := find(t, list, "Service", "cardea-metrics")
	for name, value := range selector {
		if got := service.metadata()["labels"].(map[string]any)[name]; got != value {
			t.Errorf("the ServiceMonitor selects %s=%v, the Service has %v", name, value, got)
		}
	}
	if other := find(t, list, "Service", "cardea").metadata()["labels"].(map[string]any)["cardea.dev/service"]; other == "metrics" {
		t.Error("the ServiceMonitor selects the Service for traffic, too")
	}
}
