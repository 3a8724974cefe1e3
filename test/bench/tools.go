//go:build linux

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// command returns how the scenario's load generator is called for a run of the
// given length, and how its output is read.
func (b *workbench) command(sc *Scenario, r *running, length time.Duration, log string) (env, args []string, parse func([]byte) (Loaded, error), err error) {
	whole := strconv.Itoa(int(length.Round(time.Second) / time.Second))
	threads := 1
	if sc.allCores {
		threads = 2
	}
	switch sc.tool {
	case wrk:
		conf, err := b.file("openssl.cnf")
		if err != nil {
			return nil, nil, nil, err
		}
		args = []string{
			"wrk", "-t", strconv.Itoa(threads), "-c", strconv.Itoa(sc.conns), "-d", whole + "s", "--latency", "--timeout", "10s",
		}
		if sc.upload {
			script, err := b.file("upload.lua")
			if err != nil {
				return nil, nil, nil, err
			}
			args = append(args, "-s", script)
		}
		return []string{"OPENSSL_CONF=" + conf}, append(args, r.url(sc)), parseWrk, nil
	case h2load:
		args = []string{
			"h2load", "-t", strconv.Itoa(threads), "-c", strconv.Itoa(sc.conns), "-m", strconv.Itoa(sc.streams), "-D", whole,
			"--tls13-ciphers", "TLS_AES_128_GCM_SHA256", "--groups", "X25519", "-w", "24", "-W", "26", "--log-file", log,
		}
		if sc.upload {
			body := filepath.Join(b.dir, "body")
			if err := os.WriteFile(body, bytes.Repeat([]byte("u"), 64<<10), 0o644); err != nil {
				return nil, nil, nil, err
			}
			args = append(args, "-d", body)
		}
		return nil, append(args, r.url(sc)), func(out []byte) (Loaded, error) { return parseH2load(out, log) }, nil
	}
	args = []string{
		b.self, "load", "-addr", r.HTTPS, "-path", sc.path, "-conns", strconv.Itoa(sc.conns),
		"-length", length.String(), "-after", b.o.warm.String(),
	}
	if !sc.allCores {
		env = []string{"GOMAXPROCS=" + strconv.Itoa(countCPUs(b.o.loadCPUs))}
	}
	switch sc.tool {
	case openLoop:
		args = append(args, "-kind", "open", "-rate", fmt.Sprint(sc.rate))
	case handshakes:
		args = append(args, "-kind", "handshakes", "-host", sc.handshake.host,
			"-tls12="+strconv.FormatBool(sc.handshake.tls12), "-resumed="+strconv.FormatBool(sc.handshake.resumed))
	case idle:
		args = []string{
			b.self, "load", "-addr", r.HTTPS, "-path", sc.path, "-conns", strconv.Itoa(b.o.idle),
			"-kind", "idle", "-h2=" + strconv.FormatBool(sc.h2),
		}
	}
	return env, args, parseOwn, nil
}

// file writes an embedded file into the harness's folder and returns its path.
func (b *workbench) file(name string) (string, error) {
	content, err := peers.ReadFile("peers/" + name)
	if err != nil {
		return "", err
	}
	path := filepath.Join(b.dir, name)
	return path, os.WriteFile(path, content, 0o644)
}

func parseOwn(out []byte) (Loaded, error) {
	var l Loaded
	if i := bytes.IndexByte(out, '{'); i >= 0 {
		out = out[i:]
	}
	if err := json.Unmarshal(out, &l); err != nil {
		return l, fmt.Errorf("load: %w: %s", err, out)
	}
	return l, nil
}

var (
	wrkDone     = regexp.MustCompile(`(\d+) requests in `)
	wrkP50      = regexp.MustCompile(`(?m)^ +50% +(\S+)`)
	wrkP99      = regexp.MustCompile(`(?m)^ +99% +(\S+)`)
	wrkErrors   = regexp.MustCompile(`Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)`)
	wrkNon2xx   = regexp.MustCompile(`Non-2xx or 3xx responses: (\d+)`)
	h2loadDone  = regexp.MustCompile(`requests: \d+ total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout`)
	h2loadCodes = regexp.MustCompile(`status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx`)
	h2loadSuite = regexp.MustCompile(`(?m)^Cipher: (\S+)`)
	h2loadProto = regexp.MustCompile(`(?m)^Application protocol: (\S+)`)
)

func parseWrk(out []byte) (Loaded, error) {
	var l Loaded
	m := wrkDone.FindSubmatch(out)
	if m == nil {
		return l, fmt.Errorf("wrk said: %s", out)
	}
	l.Done = number(m[1])
	if m := wrkErrors.FindSubmatch(out); m != nil {
		for _, n := range m[1:] {
			l.Errors += number(n)
		}
		l.First = string(m[0])
	}
	if m := wrkNon2xx.FindSubmatch(out); m != nil {
		l.Bad = number(m[1])
	}
	l.P50, l.P99 = wrkDelay(wrkP50.FindSubmatch(out)), wrkDelay(wrkP99.FindSubmatch(out))
	return l, nil
}

// wrkDelay reads "812.00us", "1.25ms" or "2.01s".
func wrkDelay(m [][]byte) time.Duration {
	if m == nil {
		return 0
	}
	d, err := time.ParseDuration(string(m[1]))
	if err != nil {
		return 0
	}
	return d
}

func parseH2load(out []byte, log string) (Loaded, error) {
	var l Loaded
	m := h2loadDone.FindSubmatch(out)
	if m == nil {
		return l, fmt.Errorf("h2load said: %s", out)
	}
	l.Done = number(m[1])
	// With -D, h2load counts what is under way at the end as neither.
	l.Errors = number(m[2]) + number(m[3]) + number(m[4])
	if m := h2loadCodes.FindSubmatch(out); m != nil {
		l.Bad = number(m[2]) + number(m[3]) + number(m[4])
	}
	if m := h2loadSuite.FindSubmatch(out); m == nil || string(m[1]) != "TLS_AES_128_GCM_SHA256" {
		return l, fmt.Errorf("h2load negotiated another cipher suite: %s", out)
	}
	if m := h2loadProto.FindSubmatch(out); m == nil || string(m[1]) != "h2" {
		return l, fmt.Errorf("h2load negotiated another protocol: %s", out)
	}
	delays, err := readH2loadLog(log)
	if err != nil {
		return l, err
	}
	l.P50, l.P99 = percentile(delays, 50), percentile(delays, 99)
	return l, nil
}

// readH2loadLog reads lines of start time, status and microseconds.
func readH2loadLog(path string) ([]time.Duration, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var delays []time.Duration
	s := bufio.NewScanner(f)
	for s.Scan() {
		fields := strings.Split(s.Text(), "\t")
		if len(fields) != 3 {
			continue
		}
		if n, err := strconv.ParseInt(fields[2], 10, 64); err == nil {
			delays = append(delays, time.Duration(n)*time.Microsecond)
		}
	}
	return delays, s.Err()
}

func number(b []byte) int64 {
	n, _ := strconv.ParseInt(string(b), 10, 64)
	return n
}
