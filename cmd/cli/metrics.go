package cli

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cardea-dev/cardea/controllers"
	"github.com/cardea-dev/cardea/dataplane/observe"
)

// controllerMetrics registers the metrics of the controllers, which know no
// Prometheus themselves.
func controllerMetrics(r prometheus.Registerer, o *observe.Observer) controllers.Metrics {
	verdicts := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "cardea_verdicts", Help: "Verdicts on Kubernetes objects in force.",
	}, []string{"level", "reason"})
	referenced := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "cardea_secrets_referenced", Help: "Secrets that Ingresses of our classes name.",
	})
	reads := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "cardea_secret_reads_total", Help: "Reads of Secrets by result.",
	}, []string{"result"})
	configMaps := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "cardea_configmaps_referenced", Help: "ConfigMaps that Ingresses of our classes name for authorities.",
	})
	configMapReads := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "cardea_configmap_reads_total", Help: "Reads of ConfigMaps with authorities by result.",
	}, []string{"result"})
	synced := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "cardea_cluster_synced", Help: "1 while the watches of the cluster are in step.",
	})
	reachable := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "cardea_api_server_reachable", Help: "1 while the API server answers; what was read last is served on without it.",
	})
	leader := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "cardea_leader", Help: "1 while this replica is the leader: it writes status, rotates session ticket keys and tells of certificates that end.",
	})
	tickets := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "cardea_session_tickets_rotated_timestamp_seconds", Help: "When the shared secrets of TLS session tickets in force were rotated; 0 while this replica has secrets of its own.",
	})
	decisions := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "cardea_admission_decisions_total", Help: "Decisions of the webhook on Ingresses: admitted, warned, denied, unjudged (let in before the cluster was read), bad_review.",
	}, []string{"decision"})
	for _, d := range controllers.AdmissionDecisions() {
		decisions.WithLabelValues(string(d))
	}
	admission := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "cardea_admission_duration_seconds", Help: "Time in which the webhook answered.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .5, 1, 5},
	})
	webhookExpiry := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "cardea_webhook_certificate_expiry_timestamp_seconds", Help: "When the certificate of the webhook ends; 0 without one.",
	})
	r.MustRegister(verdicts, referenced, reads, configMaps, configMapReads, synced, reachable, leader, tickets, decisions, admission, webhookExpiry)
	var lastGood, configMapLastGood atomic.Pointer[[]string]
	o.SetLastGood(func() []string { return namesIn(&lastGood) })
	o.SetConfigMapLastGood(func() []string { return namesIn(&configMapLastGood) })
	return controllers.Metrics{
		Verdicts: func(counts map[controllers.VerdictKey]int) {
			verdicts.Reset()
			for k, n := range counts {
				verdicts.WithLabelValues(k.Level.String(), string(k.Reason)).Set(float64(n))
			}
		},
		Secrets: func(n int, stale []string) {
			referenced.Set(float64(n))
			lastGood.Store(&stale)
		},
		SecretRead: func(result string) { reads.WithLabelValues(result).Inc() },
		ConfigMaps: func(n int, stale []string) {
			configMaps.Set(float64(n))
			configMapLastGood.Store(&stale)
		},
		ConfigMapRead: func(result string) { configMapReads.WithLabelValues(result).Inc() },
		Session:       func(ok bool) { synced.Set(oneIf(ok)) },
		Reachable:     func(answers bool) { reachable.Set(oneIf(answers)) },
		Leader:        func(is bool) { leader.Set(oneIf(is)) },

		Admission: func(d controllers.AdmissionDecision, took time.Duration) {
			decisions.WithLabelValues(string(d)).Inc()
			admission.Observe(took.Seconds())
		},
		WebhookExpires: func(at time.Time) { webhookExpiry.Set(float64(at.Unix())) },

		TicketsRotated: func(at time.Time) { tickets.Set(float64(at.Unix())) },
	}
}

// namesIn returns what p holds, nil if that is nothing.
func namesIn(p *atomic.Pointer[[]string]) []string {
	if names := p.Load(); names != nil {
		return *names
	}
	return nil
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
