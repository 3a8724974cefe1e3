package observe

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// expiry is the gauge of when certificates end. It is read from the table at the
// time of a scrape: a series that is kept for each of thousands of certificates
// takes as much memory as the certificate itself.
type expiry struct {
	desc  *prometheus.Desc
	table atomic.Pointer[servedTable]
}

// A servedTable is what the series are read from.
type servedTable struct {
	spec *snapshot.Spec
	// named are the hosts with series of their own.
	named map[string]*hostSeries
}

// expiryLabels are the labels of a series.
type expiryLabels struct{ host, namespace, secret, serial, keyType string }

// Describe implements prometheus.Collector.
func (e *expiry) Describe(c chan<- *prometheus.Desc) { c <- e.desc }

// Collect implements prometheus.Collector.
func (e *expiry) Collect(c chan<- prometheus.Metric) {
	t := e.table.Load()
	if t == nil {
		return
	}
	// The hosts that share the label "_other" may share certificates as well, and
	// twice the same series would fail the whole scrape.
	seen := map[expiryLabels]bool{}
	send := func(label string, cert *snapshot.Certificate) {
		l := expiryLabels{label, cert.Origin.Namespace, cert.Origin.Name, cert.Serial, cert.KeyType()}
		if !seen[l] {
			seen[l] = true
			c <- prometheus.MustNewConstMetric(e.desc, prometheus.GaugeValue, float64(cert.NotAfter.Unix()),
				l.host, l.namespace, l.secret, l.serial, l.keyType)
		}
	}
	for _, h := range t.spec.Hosts {
		if h.TLS == nil {
			continue
		}
		for _, cert := range h.TLS.Certificates {
			send(labelOf(t.named, h.Name), cert)
		}
	}
	if cert := t.spec.DefaultCertificate; cert != nil {
		send(defaultHost, cert)
	}
}
