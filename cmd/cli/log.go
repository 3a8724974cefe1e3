package cli

import (
	"io"
	"log/slog"
	"runtime/debug"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/cardea-dev/cardea/dataplane/observe"
)

// newLog returns the program's own log. All libraries log into its handler.
func (s *settings) newLog(cmd *cobra.Command) *slog.Logger {
	level, err := s.level()
	if err != nil {
		level = slog.LevelInfo
	}
	options := &slog.HandlerOptions{Level: level}
	if s.logFormat == "text" {
		return slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), options))
	}
	return slog.New(slog.NewJSONHandler(cmd.ErrOrStderr(), options))
}

// observeConfig says where outcomes go: to the registry and to the standard
// output. The formats were checked with the flags.
func (p *process) observeConfig() observe.Config {
	c := observe.Config{
		Registerer:   p.registry,
		MaxHosts:     p.metricsMaxHosts,
		Version:      Version(),
		Revision:     revision(),
		HandshakeLog: p.stdout,
		LogQuery:     p.logQuery,
		KeyLog:       p.tlsKeyLog != "off",
	}
	if p.accessLog {
		c.AccessLog = p.stdout
	}
	c.Handshakes, _ = p.handshakes()
	c.Format, _ = observe.ParseFormat(p.logFormat)
	return c
}

func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// revision is the commit that this was built from, "" if unknown.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}

// A lockedWriter lets several goroutines write to a writer that expects one.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
