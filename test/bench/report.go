//go:build linux

package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A Report is everything that a run found.
type Report struct {
	Machine Machine   `json:"machine"`
	Started time.Time `json:"started"`
	Seconds int       `json:"seconds"`
	Results []*Result `json:"results"`
}

// Machine says where, and with which versions.
type Machine struct {
	CPU      string            `json:"cpu"`
	Cores    int               `json:"cores"`
	MemoryMB int64             `json:"memory_mib"`
	Kernel   string            `json:"kernel"`
	Go       string            `json:"go"`
	Versions map[string]string `json:"versions"`
	Rounds   int               `json:"rounds"`
	Length   string            `json:"length"`
}

func describeMachine(o options) Machine {
	m := Machine{
		CPU: cpuModel(), Cores: runtime.NumCPU(), MemoryMB: memTotal(), Kernel: kernel(), Go: runtime.Version(),
		Versions: map[string]string{}, Rounds: o.rounds, Length: o.length.String(),
	}
	m.Versions["cardea"] = versionOf(o.cardea, "version")
	m.Versions["nginx"] = versionOf("nginx", "-v")
	m.Versions["haproxy"] = versionOf("haproxy", "-v")
	m.Versions["openssl"] = openSSL()
	m.Versions["wrk"] = versionOf("dpkg-query", "-W", "-f", "${Version}", "wrk")
	m.Versions["h2load"] = versionOf("h2load", "--version")
	return m
}

// A Result is what a scenario found.
type Result struct {
	*Scenario
	Proxies []*Measured `json:"proxies"`
	// Peer is the better of nginx and HAProxy, by the median.
	Peer string `json:"peer,omitempty"`
	// Ratio is Cardea's CPU time per request (idle: memory per connection) to the
	// peer's: the median of the rounds. Ratios are those of the rounds.
	Ratio  float64   `json:"ratio,omitempty"`
	Ratios []float64 `json:"ratios,omitempty"`
	// P99Ratio is the same for the 99th percentile of the delay, against the better
	// peer in that.
	P99Ratio float64 `json:"p99_ratio,omitempty"`
	// BaseRatio is that of the CPU time to the other build's.
	BaseRatio float64 `json:"base_ratio,omitempty"`
}

// Measured is one proxy in a scenario.
type Measured struct {
	Name      string   `json:"name"`
	NotServed bool     `json:"not_served,omitempty"`
	Samples   []Sample `json:"rounds,omitempty"`
	RSS       int64    `json:"rss_kib"`
	PSS       int64    `json:"pss_kib"`
	// Of the idle scenarios.
	PSSBefore  int64   `json:"pss_before_kib,omitempty"`
	KiBPerConn float64 `json:"kib_per_connection,omitempty"`
}

func newResult(sc *Scenario, all []subject) *Result {
	r := &Result{Scenario: sc}
	for _, s := range all {
		r.Proxies = append(r.Proxies, &Measured{Name: s.name})
	}
	return r
}

func (r *Result) of(name string) *Measured {
	for _, m := range r.Proxies {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// values returns one figure of all rounds.
func (m *Measured) values(get func(Sample) float64) []float64 {
	var v []float64
	for _, s := range m.Samples {
		v = append(v, get(s))
	}
	return v
}

func cpuOf(s Sample) float64    { return s.CPU }
func rateOf(s Sample) float64   { return s.Rate }
func busyOf(s Sample) float64   { return s.Busy }
func othersOf(s Sample) float64 { return s.Others }
func p50Of(s Sample) float64    { return s.P50 }
func p99Of(s Sample) float64    { return s.P99 }

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// compare fills in the ratios.
func (r *Result) compare() {
	own := r.of("cardea")
	if own == nil || own.NotServed {
		return
	}
	if r.tool == idle {
		for _, m := range r.Proxies {
			if !isPeer(m.Name) || m.NotServed {
				continue
			}
			if r.Ratio == 0 || own.KiBPerConn/m.KiBPerConn > r.Ratio {
				r.Peer, r.Ratio = m.Name, own.KiBPerConn/m.KiBPerConn
			}
		}
		return
	}
	r.Peer, r.Ratios = r.against(cpuOf)
	r.Ratio = median(r.Ratios)
	_, p99 := r.against(p99Of)
	r.P99Ratio = median(p99)
	if base := r.of("base"); base != nil {
		var ratios []float64
		for i, v := range base.values(cpuOf) {
			ratios = append(ratios, own.Samples[i].CPU/v)
		}
		r.BaseRatio = median(ratios)
	}
}

// against returns the peer with the least median and Cardea's ratios to it.
func (r *Result) against(get func(Sample) float64) (peer string, ratios []float64) {
	var best *Measured
	for _, m := range r.Proxies {
		if !isPeer(m.Name) || len(m.Samples) == 0 {
			continue
		}
		if best == nil || median(m.values(get)) < median(best.values(get)) {
			best = m
		}
	}
	if best == nil {
		return "", nil
	}
	own := r.of("cardea").values(get)
	for i, v := range best.values(get) {
		if v > 0 && i < len(own) {
			ratios = append(ratios, own[i]/v)
		}
	}
	return best.Name, ratios
}

// peerRate is the best peer's requests per second.
func (r *Result) peerRate() float64 {
	best := 0.0
	for _, m := range r.Proxies {
		if isPeer(m.Name) {
			best = max(best, median(m.values(rateOf)))
		}
	}
	return best
}

// print writes the head of the report.
func (r *Report) print(w io.Writer) {
	m := r.Machine
	fmt.Fprintf(w, "%s, %d cores, %d MiB, Linux %s; %s\n", m.CPU, m.Cores, m.MemoryMB, m.Kernel, r.Started.Format(time.RFC3339))
	for _, name := range []string{"cardea", "nginx", "haproxy", "openssl", "wrk", "h2load"} {
		fmt.Fprintf(w, "%s: %s\n", name, m.Versions[name])
	}
	fmt.Fprintf(w, "%d rounds of %s, interleaved; medians\n\n", m.Rounds, m.Length)
}

// The table is Markdown: docs/performance.md holds one.
func printHead(w io.Writer) {
	fmt.Fprintln(w, "| scenario | proxy | CPU µs/request (range) | ratio | bar | requests/s | cores | noise | p50 ms | p99 ms | RSS MiB | errors |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|---|---|---|---|")
}

func (r *Result) print(w io.Writer) {
	for i, m := range r.Proxies {
		name := ""
		if i == 0 {
			name = r.Name
		}
		if m.NotServed {
			fmt.Fprintf(w, "| %s | %s | not served | | | | | | | | | |\n", name, m.Name)
			continue
		}
		ratio, bar := "", ""
		if m.Name == "cardea" {
			if r.Ratio > 0 {
				ratio = fmt.Sprintf("**%.2f** of %s", r.Ratio, r.Peer)
			}
			if r.BaseRatio > 0 {
				ratio += fmt.Sprintf(" **%.3f** of base", r.BaseRatio)
			}
			if len(r.Ratios) > 1 {
				ratio += fmt.Sprintf(" (%.2f–%.2f)", slices.Min(r.Ratios), slices.Max(r.Ratios))
			}
			if r.Bar > 0 {
				bar = fmt.Sprintf("%.2f", r.Bar)
			}
		}
		var errs, bad int64
		notes := []string{}
		for _, s := range m.Samples {
			errs, bad = errs+s.Errors, bad+s.Bad
			if s.Note != "" {
				notes = append(notes, s.Note)
			}
		}
		problems := fmt.Sprint(errs + bad)
		if len(notes) > 0 {
			problems += " (" + strings.ReplaceAll(notes[0], "|", "/") + ")"
		}
		if r.tool == idle {
			fmt.Fprintf(w, "| %s | %s | %.1f KiB each | %s | %s | | | | | | %d | %s |\n",
				name, m.Name, m.KiBPerConn, ratio, bar, m.RSS/1024, problems)
			continue
		}
		cpu := m.values(cpuOf)
		fmt.Fprintf(w, "| %s | %s | %.1f (%.1f–%.1f) | %s | %s | %.0f | %.2f | %.0f %% | %.2f | %.2f | %d | %s |\n",
			name, m.Name, median(cpu), slices.Min(cpu), slices.Max(cpu), ratio, bar,
			median(m.values(rateOf)), median(m.values(busyOf)), 100*median(m.values(othersOf)), median(m.values(p50Of)), median(m.values(p99Of)), m.RSS/1024, problems)
	}
}
