package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// A webServer is one of the two small servers beside the data plane.
type webServer struct {
	net.Listener
	server *http.Server
}

// listenWeb opens the socket; an empty address gives nil, which serves nothing.
func listenWeb(flag, addr string, handler http.Handler, log *slog.Logger) (*webServer, error) {
	if addr == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, listenError(flag, addr, err)
	}
	return &webServer{l, &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}}, nil
}

func (w *webServer) serve() error {
	if w == nil {
		return nil
	}
	if err := w.server.Serve(w.Listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// end lets answers under way finish for a moment.
func (w *webServer) end() {
	if w == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if w.server.Shutdown(ctx) != nil {
		_ = w.server.Close()
	}
	_ = w.Close() // for a server that never served
}

// adminHandler serves what a cluster asks: whether the process is alive and
// ready, and its metrics.
func (p *process) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { reply(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if why := p.whyNotReady(); why != "" {
			http.Error(w, "not ready: "+why, http.StatusServiceUnavailable)
			return
		}
		reply(w, "ok")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(p.registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(p.log.Handler(), slog.LevelError),
	}))
	return mux
}

func reply(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, text+"\n")
}

func listenError(flag, addr string, err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	if errors.Is(err, syscall.EACCES) {
		err = fmt.Errorf("%w: the process may not use ports below net.ipv4.ip_unprivileged_port_start (1024, as a rule)", err)
	}
	return fmt.Errorf("--%s %s: %w", flag, addr, err)
}
