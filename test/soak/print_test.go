//go:build soak && linux

package soak

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// gauges are what must be flat, and by how much they may rise beyond a tenth.
var gauges = []struct {
	name  string
	of    func(sample) float64
	slack float64
}{
	{"resident MiB", func(s sample) float64 { return float64(s.rss) / (1 << 20) }, 8},
	{"goroutines", func(s sample) float64 { return float64(s.goroutines) }, 50},
	{"descriptors", func(s sample) float64 { return float64(s.fds) }, 25},
}

// print says what was done and what became of it.
func (w *world) print(c *changes, baseline, after sample, samples []sample) {
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	l := w.ledger
	total := 0
	for _, ends := range l.ends {
		for _, n := range ends {
			total += n
		}
	}
	fmt.Fprintf(table, "\n%d exchanges in %v; %d backends killed, %d edits of routes, %d of endpoints, %d certificates (%d seen by clients)\n\n",
		total, *length, c.kills, c.routes, c.endpoints, c.certificates, len(w.serials))
	ends := []end{whole, answered, cut, silent, left, wrong, stuck}
	fmt.Fprint(table, "client")
	for _, e := range ends {
		fmt.Fprintf(table, "\t%s", e)
	}
	fmt.Fprintln(table)
	for _, kind := range slices.Sorted(maps.Keys(l.ends)) {
		fmt.Fprint(table, kind)
		for _, e := range ends {
			fmt.Fprintf(table, "\t%d", l.ends[kind][e])
		}
		fmt.Fprintln(table)
	}
	fmt.Fprint(table, "\nfor the client\tstatus\tfor cardea\texchanges\n")
	for _, p := range slices.SortedFunc(maps.Keys(l.pairs), func(a, b pair) int {
		return cmp.Or(cmp.Compare(l.pairs[b], l.pairs[a]), cmp.Compare(a.reason, b.reason), cmp.Compare(a.end, b.end))
	}) {
		fmt.Fprintf(table, "%s\t%d\t%s\t%d\n", p.end, p.status, p.reason, l.pairs[p])
	}
	fmt.Fprint(table, "\nthe process\tbefore\tat the most\trise in the last 2/3\tafter\n")
	for _, g := range gauges {
		most := 0.0
		for _, s := range samples {
			most = max(most, g.of(s))
		}
		rise, _ := growth(samples[len(samples)/3:], g.of)
		fmt.Fprintf(table, "%s\t%.0f\t%.0f\t%+.1f\t%.0f\n", g.name, g.of(baseline), most, rise, g.of(after))
	}
	fmt.Fprintf(table, "\nexchanges that do not fit their records: %d\n", l.mistaken)
	_ = table.Flush() // into memory
	fmt.Print(b.String())
}

// example names an exchange that has no record.
func (l *ledger) example() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for agent, v := range l.views {
		return fmt.Sprintf("%s (%s, status %d, %v)", agent, v.end, v.status, v.err)
	}
	return "none"
}
