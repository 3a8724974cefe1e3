package cli

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cardea-dev/cardea/controllers/files"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// watchFiles reads the files that flags name and returns what follows them. What
// cannot be read or does not parse is an error: there is nothing to serve in its
// place.
func (p *process) watchFiles() error {
	var sets []files.Set
	if p.defaultCert != "" {
		sets = append(sets, files.Set{
			Name:  "default-tls-cert",
			Paths: []string{p.defaultCert, p.defaultKey},
			Load:  p.loadDefaultCertificate,
		})
	}
	if p.selfSigned {
		c, err := selfSigned(time.Now())
		if err != nil {
			return err
		}
		p.defaultCertificate = c
	}
	if len(p.echKeyFiles) > 0 {
		sets = append(sets, files.Set{Name: "ech-key-file", Paths: p.echKeyFiles, Load: p.loadECHKeys})
	}
	sets = append(sets, p.operatorSets()...)
	p.fileMetrics = newFileMetrics(p.registry)
	p.files = files.New(files.Config{Sets: sets, Interval: p.tlsReloadInterval, Tell: p.tellFiles})
	if err := p.files.Load(); err != nil {
		return err
	}
	for _, s := range sets {
		p.fileMetrics.took(s.Name)
	}
	return nil
}

// loadDefaultCertificate takes in the content of --default-tls-cert and
// --default-tls-key.
func (p *process) loadDefaultCertificate(content [][]byte) error {
	c, err := snapshot.ParseCertificate(fileOrigin(p.defaultCert), content[0], content[1])
	if err != nil {
		return err
	}
	if p.board == nil { // the first time
		p.defaultCertificate = c
	} else if err := p.serveDefaultCertificate(c); err != nil {
		return err
	}
	p.fileMetrics.expires("default-tls-cert", c.NotAfter)
	return nil
}

// serveDefaultCertificate serves c, which may be nil, to unknown names.
func (p *process) serveDefaultCertificate(c *snapshot.Certificate) error {
	if err := p.board.setDefaultCertificate(c); err != nil {
		return err
	}
	if c == nil {
		p.log.Warn("there is no default certificate any more")
		return nil
	}
	p.log.Info("new default certificate", "certificate", c.ID(), "until", c.NotAfter)
	return nil
}

// tellFiles tells log and metrics what became of files that a flag names.
func (p *process) tellFiles(r files.Result) {
	if r.Err == nil {
		p.fileMetrics.took(r.Set)
		p.log.Info("files were read anew", "files", r.Set)
		return
	}
	p.fileMetrics.failed(r.Set, r.Reason)
	p.log.Error("the new content of files cannot be used; the last one stays in service",
		"files", r.Set, "reason", string(r.Reason), "error", r.Err.Error())
}

// fileMetrics count what becomes of the files that flags name.
type fileMetrics struct {
	reloads *prometheus.CounterVec
	success *prometheus.GaugeVec
	expiry  *prometheus.GaugeVec
}

func newFileMetrics(r prometheus.Registerer) fileMetrics {
	m := fileMetrics{
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cardea_file_reload_total",
			Help: "New contents of files that flags name, by flag, result (loaded, failed) and reason (changed, unreadable, invalid).",
		}, []string{"file", "result", "reason"}),
		success: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "cardea_file_reload_last_success_timestamp_seconds",
			Help: "When files that flags name were last read with success, by flag.",
		}, []string{"file"}),
		expiry: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "cardea_file_expiry_timestamp_seconds",
			Help: "When the content of files that flags name ends to be valid, by flag: a certificate, or the first of the revocation lists.",
		}, []string{"file"}),
	}
	r.MustRegister(m.reloads, m.success, m.expiry)
	return m
}

func (m fileMetrics) took(set string) {
	m.reloads.WithLabelValues(set, "loaded", string(files.Changed)).Inc()
	m.success.WithLabelValues(set).Set(float64(time.Now().UnixMilli()) / 1000)
}

// expires notes the end of what is about to be in service; a zero time is none.
func (m fileMetrics) expires(set string, at time.Time) {
	if at.IsZero() {
		m.expiry.DeleteLabelValues(set)
		return
	}
	m.expiry.WithLabelValues(set).Set(float64(at.Unix()))
}

func (m fileMetrics) failed(set string, reason files.Reason) {
	m.reloads.WithLabelValues(set, "failed", string(reason)).Inc()
}
