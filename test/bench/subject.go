//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"text/template"
	"time"
)

//go:embed peers
var peers embed.FS

var templates = template.Must(template.ParseFS(peers, "peers/*.conf", "peers/*.cfg", "peers/*.yaml"))

// A subject is a proxy that is measured.
type subject struct {
	name    string
	config  string // template
	command func(b *workbench, v *values) (env, args []string)
}

var subjects = [...]subject{
	{
		name: "cardea", config: "cardea.yaml",
		command: func(b *workbench, v *values) (env, args []string) { return v.cardea(b.o.cardea) },
	},
	{
		// Another build of Cardea, to see what a change is worth.
		name: "base", config: "cardea.yaml",
		command: func(b *workbench, v *values) (env, args []string) { return v.cardea(b.o.base) },
	},
	{
		name: "nginx", config: "nginx.conf",
		command: func(_ *workbench, v *values) (env, args []string) {
			return nil, []string{"nginx", "-p", v.Dir, "-c", v.config, "-e", filepath.Join(v.Dir, "nginx.err")}
		},
	},
	{
		name: "haproxy", config: "haproxy.cfg",
		command: func(_ *workbench, v *values) (env, args []string) {
			return nil, []string{"haproxy", "-db", "-f", v.config}
		},
	},
}

// cardea returns how a build of Cardea is started.
func (v *values) cardea(program string) (env, args []string) {
	if !v.allCores {
		env = []string{"GOMAXPROCS=1"}
	}
	args = []string{
		program, "serve", "--manifests", v.Dir, "--http-addr", v.HTTP, "--https-addr", v.HTTPS,
		"--admin-addr", "127.0.0.1:0", "--debug-addr", v.debug,
	}
	if !v.AccessLog {
		args = append(args, "--access-log=false", "--handshake-log=off")
	}
	return env, args
}

// isPeer tells the others from Cardea.
func isPeer(name string) bool { return name != "cardea" && name != "base" }

func subjectNamed(name string) (subject, bool) {
	for _, s := range subjects {
		if s.name == name {
			return s, true
		}
	}
	return subject{}, false
}

// values are what the templates say.
type values struct {
	Dir, HTTP, HTTPS     string
	Backend, BackendPort string
	HostECDSA, HostRSA   string
	Hosts                []string
	Secrets              []secret
	Threads, Nofile      int
	AccessLog            bool

	config, debug string
	allCores      bool
}

// A running is a subject that serves.
type running struct {
	subject
	*process
	values
	log  *os.File
	alpn string
}

// startSubject starts s for the scenario and checks that it does its job.
func (b *workbench) startSubject(ctx context.Context, s subject, sc *Scenario, backend string) (*running, error) {
	// Each start gets a folder of its own: Cardea reads the whole of it.
	dir, err := os.MkdirTemp(b.dir, s.name+"-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	v := values{
		Dir: dir, HTTP: freeAddr(), HTTPS: freeAddr(), debug: freeAddr(),
		Backend: backend, HostECDSA: hostECDSA, HostRSA: hostRSA, Hosts: []string{hostECDSA, hostRSA},
		Secrets: b.secrets, Threads: 1, Nofile: b.nofile, AccessLog: sc.accessLog, allCores: sc.allCores,
	}
	_, v.BackendPort, _ = net.SplitHostPort(backend)
	cpus := b.o.proxyCPUs
	if sc.allCores {
		cpus, v.Threads = "", runtime.NumCPU()
	}
	if isPeer(s.name) {
		for _, name := range []string{"ecdsa.crt", "ecdsa.key", "ecdsa.pem", "rsa.crt", "rsa.key", "rsa.pem"} {
			if err := os.Link(filepath.Join(b.dir, name), filepath.Join(dir, name)); err != nil {
				return nil, err
			}
		}
	}
	v.config = filepath.Join(dir, s.config)
	if err := write(v.config, s.config, v); err != nil {
		return nil, err
	}
	out, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		return nil, err
	}
	env, args := s.command(b, &v)
	p, err := start(cpus, out, env, args...)
	if err != nil {
		out.Close()
		return nil, err
	}
	r := &running{subject: s, process: p, values: v, log: out}
	if err := r.probe(ctx, sc); err != nil {
		r.stop()
		tail, _ := os.ReadFile(out.Name())
		return nil, fmt.Errorf("%s: %w\n%s", s.name, err, tail[max(0, len(tail)-2000):])
	}
	return r, nil
}

func (r *running) stop() {
	r.process.stop()
	r.log.Close()
}

// write executes the template called name into the file at path.
func write(path, name string, v values) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return templates.ExecuteTemplate(f, name, v)
}

// freeAddr returns an address of 127.0.0.1 that nothing listens on just now.
func freeAddr() string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "127.0.0.1:0"
	}
	defer ln.Close()
	return ln.Addr().String()
}

// url is what the load generators ask for.
func (r *running) url(sc *Scenario) string {
	scheme, addr := "http", r.HTTP
	if sc.tls {
		scheme, addr = "https", r.HTTPS
	}
	_, port, _ := net.SplitHostPort(addr)
	return scheme + "://" + hostECDSA + ":" + port + sc.path
}

// probe waits until the proxy serves, and checks one answer, the protocol and the
// cipher suite.
func (r *running) probe(ctx context.Context, sc *Scenario) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var state tls.ConnectionState
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			_, port, _ := net.SplitHostPort(addr)
			return new(net.Dialer).DialContext(ctx, "tcp", "127.0.0.1:"+port)
		},
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true, ServerName: hostECDSA},
		DisableKeepAlives: true,
	}}
	var last error
	for ctx.Err() == nil {
		select {
		case <-r.done:
			return errors.New("ended at once")
		default:
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url(sc), nil)
		if err != nil {
			return err
		}
		if sc.upload {
			req, _ = http.NewRequestWithContext(ctx, http.MethodPost, r.url(sc), strings.NewReader("x"))
		}
		res, err := client.Do(req)
		if err != nil {
			last = err
			time.Sleep(20 * time.Millisecond)
			continue
		}
		n, err := io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK || n != int64(sizes[sc.path]) {
			last = fmt.Errorf("GET %s = %s with %d bytes, %v", r.url(sc), res.Status, n, err)
			time.Sleep(20 * time.Millisecond)
			continue
		}
		if !sc.tls {
			return nil
		}
		state, err = dialTLS(ctx, r.HTTPS)
		if err != nil {
			return err
		}
		r.alpn = state.NegotiatedProtocol
		if state.CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
			return fmt.Errorf("negotiates %s, want %s", tls.CipherSuiteName(state.CipherSuite), tls.CipherSuiteName(tls.TLS_AES_128_GCM_SHA256))
		}
		return nil
	}
	return fmt.Errorf("does not serve: %w", last)
}

func dialTLS(ctx context.Context, addr string) (tls.ConnectionState, error) {
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, ServerName: hostECDSA, NextProtos: []string{"h2", "http/1.1"}}}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer c.Close()
	return c.(*tls.Conn).ConnectionState(), nil
}

// versionOf returns the first line that the program says about itself.
func versionOf(args ...string) string {
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		return "unknown: " + err.Error()
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return line
}

// openSSL returns the version of the library that the peers run on, which is not
// always the one that they were built with.
func openSSL() string {
	out, _ := exec.Command("haproxy", "-vv").CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if name, value, _ := strings.Cut(line, ":"); strings.HasPrefix(name, "Running on OpenSSL") {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
