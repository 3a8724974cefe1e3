// Command backend is the application of the tests in a cluster. It answers every
// request with what it saw, as JSON, and with its own name and the port it was
// asked at, so that one pod can stand for many Services. It echoes what comes on
// an upgraded connection.
//
// It ends as a careful application does: it goes on serving for a while after
// SIGTERM, until no proxy sends it anything, and then ends what is in flight.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	first := flag.Int("first-port", 9000, "first port to listen on")
	ports := flag.Int("ports", 1, "how many ports to listen on")
	linger := flag.Duration("linger", 3*time.Second, "how long to go on after SIGTERM")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, *first, *ports, *linger); err != nil {
		fmt.Fprintln(os.Stderr, "backend:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends, and then for the time linger and until all requests
// have ended.
func run(ctx context.Context, first, ports int, linger time.Duration) error {
	b := &backend{name: os.Getenv("HOSTNAME"), tunnels: map[net.Conn]bool{}}
	server := &http.Server{Handler: b, ReadHeaderTimeout: time.Minute}
	failed := make(chan error, ports)
	for i := range ports {
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", first+i))
		if err != nil {
			return err
		}
		go func() { failed <- server.Serve(l) }()
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	time.Sleep(linger)
	b.closeTunnels()
	ending, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return server.Shutdown(ending)
}

type backend struct {
	name string

	mu      sync.Mutex
	tunnels map[net.Conn]bool
}

// seen is the answer to a request; the tests have the same type.
type seen struct {
	Pod    string      `json:"pod"`
	Port   string      `json:"port"`
	Method string      `json:"method"`
	Path   string      `json:"path"`
	Host   string      `json:"host"`
	Proto  string      `json:"proto"`
	Header http.Header `json:"header"`
	Body   int64       `json:"body"` // bytes
}

// ServeHTTP answers. The parameter "wait" is the time to wait before.
func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		b.echo(w)
		return
	}
	body, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if wait, err := time.ParseDuration(r.URL.Query().Get("wait")); err == nil {
		select {
		case <-time.After(wait):
		case <-r.Context().Done():
			return
		}
	}
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	_, port, _ := net.SplitHostPort(local.String())
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Server", "backend")
	_ = json.NewEncoder(w).Encode(seen{
		Pod: b.name, Port: port, Method: r.Method, Path: r.URL.Path, Host: r.Host,
		Proto: r.Proto, Header: r.Header, Body: body,
	})
}

// echo sends back what comes on an upgraded connection, until either side ends.
func (b *backend) echo(w http.ResponseWriter) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	b.mu.Lock()
	b.tunnels[conn] = true
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		delete(b.tunnels, conn)
		b.mu.Unlock()
		_ = conn.Close()
	}()
	_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	if rw.Flush() == nil {
		_, _ = io.Copy(conn, rw)
	}
}

// closeTunnels ends upgraded connections, of which a Server knows nothing.
func (b *backend) closeTunnels() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.tunnels {
		_ = c.SetReadDeadline(time.Now())
	}
}
