package cli

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/cardea-dev/cardea/controllers"
)

// controllerMetrics registers the metrics of the controllers, which know no
// Prometheus themselves.
func controllerMetrics(r prometheus.Registerer) controllers.Metrics {
	verdicts := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "cardea_verdicts", Help: "Verdicts on Kubernetes objects in force.",
	}, []string{"level", "reason"})
	referenced := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "cardea_secrets_referenced", Help: "Secrets that Ingresses of our classes name.",
	})
	lastGood := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "cardea_secrets_last_good", Help: "Secrets of which earlier content is served than the cluster holds.",
	})
	reads := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "cardea_secret_reads_total", Help: "Reads of Secrets by result.",
	}, []string{"result"})
	synced := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "cardea_cluster_synced", Help: "1 while the watches of the cluster are in step.",
	})
	leader := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "cardea_leader", Help: "1 while this replica writes the status of Ingresses.",
	})
	r.MustRegister(verdicts, referenced, lastGood, reads, synced, leader)
	return controllers.Metrics{
		Verdicts: func(counts map[controllers.VerdictKey]int) {
			verdicts.Reset()
			for k, n := range counts {
				verdicts.WithLabelValues(k.Level.String(), string(k.Reason)).Set(float64(n))
			}
		},
		Secrets: func(n, stale int) {
			referenced.Set(float64(n))
			lastGood.Set(float64(stale))
		},
		SecretRead: func(result string) { reads.WithLabelValues(result).Inc() },
		Session:    func(ok bool) { synced.Set(oneIf(ok)) },
		Leader:     func(is bool) { leader.Set(oneIf(is)) },
	}
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
