package observe

import (
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// gauges is a gauge, or a counter, with one label whose values somebody else knows at the time
// of a scrape.
type gauges struct {
	desc   *prometheus.Desc
	kind   prometheus.ValueType
	source atomic.Pointer[func() map[string]int]
}

func (g *gauges) set(f func() map[string]int) { g.source.Store(&f) }

// Describe implements prometheus.Collector.
func (g *gauges) Describe(c chan<- *prometheus.Desc) { c <- g.desc }

// Collect implements prometheus.Collector.
func (g *gauges) Collect(c chan<- prometheus.Metric) {
	f := g.source.Load()
	if f == nil || *f == nil {
		return
	}
	for label, n := range (*f)() {
		c <- prometheus.MustNewConstMetric(g.desc, g.kind, float64(n), label)
	}
}

// secrets is a gauge that is 1 for each Secret which somebody else names at the
// time of a scrape.
type secrets struct {
	desc   *prometheus.Desc
	source atomic.Pointer[func() []string]
}

func (s *secrets) set(f func() []string) { s.source.Store(&f) }

// Describe implements prometheus.Collector.
func (s *secrets) Describe(c chan<- *prometheus.Desc) { c <- s.desc }

// Collect implements prometheus.Collector.
func (s *secrets) Collect(c chan<- prometheus.Metric) {
	f := s.source.Load()
	if f == nil || *f == nil {
		return
	}
	seen := map[string]bool{}
	for _, secret := range (*f)() {
		if seen[secret] {
			continue // twice the same series would fail the whole scrape
		}
		seen[secret] = true
		namespace, name, _ := strings.Cut(secret, "/")
		c <- prometheus.MustNewConstMetric(s.desc, prometheus.GaugeValue, 1, namespace, name)
	}
}
