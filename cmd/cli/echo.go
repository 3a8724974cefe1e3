package cli

import (
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// An echo is the backend of the demo: it answers every request with what it saw.
type echo struct {
	server   *http.Server
	listener net.Listener
}

// An echoAnswer is its answer, in JSON.
type echoAnswer struct {
	// Service is the name of the Service that the demo put in front of it.
	Service string      `json:"service"`
	Method  string      `json:"method"`
	Host    string      `json:"host"`
	Target  string      `json:"target"`
	Header  http.Header `json:"header"`
	Body    string      `json:"body,omitempty"`
}

// newEcho starts an echo on a loopback port of the system's choice.
func newEcho(service string, log *slog.Logger) (*echo, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	e := &echo{listener: l, server: &http.Server{
		Handler:           echoHandler(service),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}
	return e, nil
}

func echoHandler(service string) http.Handler {
	const most = 1 << 20
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		// An error is a client that left.
		_ = enc.Encode(echoAnswer{
			Service: service, Method: r.Method, Host: r.Host, Target: r.RequestURI,
			Header: r.Header, Body: string(body),
		})
	})
}

func (e *echo) addr() *net.TCPAddr { return e.listener.Addr().(*net.TCPAddr) }
func (e *echo) serve()             { _ = e.server.Serve(e.listener) } // until close
func (e *echo) close()             { _ = e.server.Close() }
