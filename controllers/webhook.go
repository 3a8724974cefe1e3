package controllers

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/kubernetes"
)

// WebhookConfig says how the API server asks what would become of an Ingress before
// it takes it. Every replica answers; the leader keeps the certificate and tells the
// API server whom to trust.
type WebhookConfig struct {
	// Listener is where the API server asks. Nil: nobody is asked. Run closes it.
	Listener net.Listener
	// Service is the name of the Service, in the namespace of the Lease, by which the
	// API server reaches the replicas. It is in the certificate.
	Service string
	// Configuration is the name of the ValidatingWebhookConfiguration, of which the
	// fields caBundle are kept and nothing else.
	Configuration string
	// Secret is the name of the Secret, in the namespace of the Lease, with the
	// certificate.
	Secret string

	interval time.Duration // tests: how often the Secret is read; default 10 s
	times    pairTimes     // tests
	names    []string      // tests: further names in the certificate
}

// A webhook is the server that the API server asks, and its certificate.
type webhook struct {
	listener net.Listener
	keeper   *webhookKeeper
	server   *http.Server
	log      logr.Logger
}

func newWebhook(c *Controller) (*webhook, error) {
	cfg := c.cfg.Webhook
	if cfg.Service == "" || cfg.Configuration == "" || cfg.Secret == "" {
		return nil, errors.New("the Service, the ValidatingWebhookConfiguration and the Secret must be named")
	}
	client, err := kubernetes.NewForConfig(c.cfg.REST)
	if err != nil {
		return nil, err
	}
	log := c.cfg.Logger.WithName("webhook")
	keeper := newWebhookKeeper(c.cfg, client, log)
	a := &admission{
		try:     c.try,
		watches: func(namespace string) bool { return c.cfg.WatchNamespace == "" || c.cfg.WatchNamespace == namespace },
		decided: c.cfg.Metrics.Admission,
		log:     log,
		now:     time.Now,
	}
	mux := http.NewServeMux()
	mux.Handle("POST /validate", a)
	return &webhook{
		listener: cfg.Listener,
		keeper:   keeper,
		log:      log,
		server: &http.Server{
			Handler:           mux,
			TLSConfig:         &tls.Config{GetCertificate: keeper.certificate, MinVersion: tls.VersionTLS12},
			ReadHeaderTimeout: 5 * time.Second,
			ReadTimeout:       10 * time.Second,
			WriteTimeout:      10 * time.Second,
			IdleTimeout:       2 * time.Minute,
			MaxHeaderBytes:    64 << 10,
			ErrorLog:          slog.NewLogLogger(logr.ToSlogHandler(log.V(1)), slog.LevelInfo),
		},
	}, nil
}

// run serves until ctx ends, and lets the answers under way finish for a moment.
func (w *webhook) run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { w.keeper.run(ctx) })
	running.Go(func() {
		<-ctx.Done()
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if w.server.Shutdown(bounded) != nil {
			_ = w.server.Close()
		}
	})
	if err := w.server.ServeTLS(w.listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
		w.log.Error(err, "the webhook ended; the API server goes on by its failurePolicy")
	}
}
