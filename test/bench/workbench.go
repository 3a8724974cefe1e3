//go:build linux

package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A workbench holds what all scenarios share.
type workbench struct {
	o        options
	dir      string
	self     string
	subjects []subject
	secrets  []secret
	nofile   int
	// closedRate is the best peer's rate in all-https-h1-1k; 0: not yet known.
	closedRate float64
}

// secret is a certificate as the manifests hold it.
type secret struct{ Name, Crt, Key string }

// packages are the Debian packages of the programs that the harness runs.
var packages = [...]struct{ program, name string }{
	{"nginx", "nginx"},
	{"haproxy", "haproxy"},
	{"wrk", "wrk"},
	{"h2load", "nghttp2-client"},
	{"taskset", "util-linux"},
}

func newWorkbench(ctx context.Context, o options) (*workbench, error) {
	var missing []string
	for _, p := range packages {
		if _, err := exec.LookPath(p.program); err != nil {
			missing = append(missing, p.name)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("not everything is installed; on Debian: apt-get install --no-install-recommends %s", strings.Join(missing, " "))
	}
	if _, err := os.Stat(o.cardea); err != nil {
		return nil, fmt.Errorf("no program to measure: %w (`make build` makes it)", err)
	}
	if err := exec.CommandContext(ctx, "taskset", "-c", o.proxyCPUs+","+o.loadCPUs, "true").Run(); err != nil {
		return nil, fmt.Errorf("cores %s and %s are not there: set -proxy-cpus and -load-cpus", o.proxyCPUs, o.loadCPUs)
	}
	nofile, err := raiseNofile(o.idle + 2000)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	// Access logs are written to memory, so that the disk is not measured.
	parent := "/dev/shm"
	if _, err := os.Stat(parent); err != nil {
		parent = ""
	}
	dir, err := os.MkdirTemp(parent, "cardea-bench-")
	if err != nil {
		return nil, err
	}
	// The peers' workers give up root.
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	b := &workbench{o: o, dir: dir, self: self, nofile: nofile}
	for name := range strings.SplitSeq(o.subjects, ",") {
		s, ok := subjectNamed(name)
		if !ok {
			b.close()
			return nil, fmt.Errorf("no proxy %q; there are cardea, nginx and haproxy", name)
		}
		b.subjects = append(b.subjects, s)
	}
	if err := b.certificates(); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *workbench) close() {
	if b.o.keep {
		fmt.Fprintln(os.Stderr, "kept:", b.dir)
		return
	}
	os.RemoveAll(b.dir)
}

// certificates writes NAME.crt, NAME.key and, for HAProxy, NAME.pem.
func (b *workbench) certificates() error {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	return errors.Join(
		b.certificate("ecdsa", hostECDSA, &ec.PublicKey, ec),
		b.certificate("rsa", hostRSA, &rs.PublicKey, rs))
}

func (b *workbench) certificate(name, host string, public, private any) error {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: host},
		DNSNames:     []string{host},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(90 * 24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		return err
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	crtPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
	b.secrets = append(b.secrets, secret{
		Name: name,
		Crt:  base64.StdEncoding.EncodeToString(crtPEM),
		Key:  base64.StdEncoding.EncodeToString(keyPEM),
	})
	path := filepath.Join(b.dir, name)
	return errors.Join(
		os.WriteFile(path+".crt", crtPEM, 0o600),
		os.WriteFile(path+".key", keyPEM, 0o600),
		os.WriteFile(path+".pem", append(crtPEM, keyPEM...), 0o600))
}

// A process is one that the harness started and ends.
type process struct {
	*exec.Cmd
	done chan struct{} // closed when it has ended
}

// start starts args, pinned to cpus unless that is empty.
func start(cpus string, out io.Writer, env []string, args ...string) (*process, error) {
	if cpus != "" {
		args = append([]string{"taskset", "-c", cpus}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{Cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // how a killed process ended says nothing
	}()
	return p, nil
}

// stop ends the process: SIGTERM, and SIGKILL to all of its tree after a second.
func (p *process) stop() {
	pids := tree(p.Process.Pid)
	_ = p.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return
	case <-time.After(time.Second):
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-p.done
}

// startBackend starts the backend and returns its address.
func (b *workbench) startBackend(allCores bool) (*process, string, error) {
	cpus, env := b.o.loadCPUs, []string{"GOMAXPROCS=" + strconv.Itoa(countCPUs(b.o.loadCPUs))}
	if allCores {
		cpus, env = "", nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, "", err
	}
	defer r.Close()
	p, err := start(cpus, w, env, b.self, "backend")
	w.Close()
	if err != nil {
		return nil, "", err
	}
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		p.stop()
		return nil, "", fmt.Errorf("backend: %w", err)
	}
	return p, strings.TrimSpace(line), nil
}

// countCPUs counts the cores in a list as taskset takes it: "1", "1,3", "2-5".
func countCPUs(list string) int {
	n := 0
	for part := range strings.SplitSeq(list, ",") {
		first, last, ranged := strings.Cut(part, "-")
		a, err := strconv.Atoi(first)
		z := a
		if err == nil && ranged {
			z, err = strconv.Atoi(last)
		}
		if err != nil || z < a {
			return max(n, 1)
		}
		n += z - a + 1
	}
	return n
}
