//go:build linux

package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Loaded is what a load generator says about its run.
type Loaded struct {
	Done   int64         `json:"done"`
	Errors int64         `json:"errors"`
	Bad    int64         `json:"bad"` // answers other than 2xx
	P50    time.Duration `json:"p50"`
	P99    time.Duration `json:"p99"`
	// First is the first error.
	First string `json:"first,omitempty"`
}

// A loader is a load generator of this program: for what wrk and h2load cannot do.
type loader struct {
	addr    string
	path    string
	conns   int
	rate    float64
	length  time.Duration
	after   time.Duration // answers before it are not in the percentiles
	host    string
	tls12   bool
	resumed bool
	h2      bool

	begin  time.Time
	done   atomic.Int64
	bad    atomic.Int64
	errs   atomic.Int64
	mu     sync.Mutex
	first  error
	delays []time.Duration
}

func load(args []string) error {
	var l loader
	f := flag.NewFlagSet("load", flag.ContinueOnError)
	kind := f.String("kind", "", "open, handshakes or idle")
	f.StringVar(&l.addr, "addr", "", "address of the proxy")
	f.StringVar(&l.path, "path", "/1k", "path to ask for")
	f.IntVar(&l.conns, "conns", 1, "connections, or handshakes at once")
	f.Float64Var(&l.rate, "rate", 0, "requests per second, all connections together")
	f.DurationVar(&l.length, "length", time.Second, "length of the run")
	f.DurationVar(&l.after, "after", 0, "begin of the run that the percentiles leave out")
	f.StringVar(&l.host, "host", hostECDSA, "SNI")
	f.BoolVar(&l.tls12, "tls12", false, "TLS 1.2 instead of 1.3")
	f.BoolVar(&l.resumed, "resumed", false, "resume sessions")
	f.BoolVar(&l.h2, "h2", false, "HTTP/2")
	if err := f.Parse(args); err != nil {
		return err
	}
	l.begin = time.Now()
	var err error
	switch *kind {
	case "open":
		err = l.openLoop()
	case "handshakes":
		l.handshakes()
	case "idle":
		err = l.idle()
	default:
		err = fmt.Errorf("load: no kind %q", *kind)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(l.loaded())
}

func (l *loader) loaded() Loaded {
	res := Loaded{Done: l.done.Load(), Errors: l.errs.Load(), Bad: l.bad.Load()}
	res.P50, res.P99 = percentile(l.delays, 50), percentile(l.delays, 99)
	if l.first != nil {
		res.First = l.first.Error()
	}
	return res
}

// percentile sorts delays and returns the nearest rank.
func percentile(delays []time.Duration, p int) time.Duration {
	if len(delays) == 0 {
		return 0
	}
	slices.Sort(delays)
	return delays[max(0, (len(delays)*p+99)/100-1)]
}

// note counts what became of one request that was due at due.
func (l *loader) note(due time.Time, status int, err error) {
	now := time.Now()
	switch {
	case err != nil:
		l.errs.Add(1)
	case status < 200 || status > 299:
		l.bad.Add(1)
	default:
		l.done.Add(1)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil && l.first == nil {
		l.first = err
	}
	if now.Sub(l.begin) >= l.after {
		l.delays = append(l.delays, now.Sub(due))
	}
}

func (l *loader) config() *tls.Config {
	cfg := &tls.Config{
		InsecureSkipVerify: true, // the certificate signs itself; its signatures are checked
		ServerName:         l.host,
		// TLS 1.2 wants the certificate's, too. Of both the peers take the first, and
		// Cardea with TLS 1.2 the second: what is cheaper in OpenSSL and in Go.
		CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256},
		MinVersion:       tls.VersionTLS13,
		NextProtos:       []string{"http/1.1"},
	}
	if l.h2 {
		cfg.NextProtos = []string{"h2"}
	}
	if l.tls12 {
		cfg.MinVersion, cfg.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
		cfg.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
	}
	return cfg
}

func (l *loader) dial(cfg *tls.Config) (*tls.Conn, error) {
	c, err := net.DialTimeout("tcp", l.addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	tc := tls.Client(c, cfg)
	if err := tc.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return nil, err
	}
	if err := tc.Handshake(); err != nil {
		c.Close()
		return nil, err
	}
	state := tc.ConnectionState()
	switch state.CipherSuite {
	case tls.TLS_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:
	default:
		c.Close()
		return nil, fmt.Errorf("negotiated %s", tls.CipherSuiteName(state.CipherSuite))
	}
	if state.NegotiatedProtocol != cfg.NextProtos[0] {
		c.Close()
		return nil, fmt.Errorf("negotiated protocol %q, want %q", state.NegotiatedProtocol, cfg.NextProtos[0])
	}
	return tc, nil
}

func (l *loader) request() []byte {
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n", l.path, l.host)
}

// openLoop sends at a fixed rate, spread evenly over the connections, whatever the
// answers do. A request whose connection still waits for the answer before is late,
// and its delay counts from when it was due; else from when it was sent, so that
// the imprecision of the sender's own timer is not in it.
func (l *loader) openLoop() error {
	conns := make([]*tls.Conn, l.conns)
	var wg sync.WaitGroup
	var failed atomic.Pointer[error]
	gate := make(chan struct{}, 16)
	for i := range conns {
		wg.Go(func() {
			gate <- struct{}{}
			defer func() { <-gate }()
			c, err := l.dial(l.config())
			if err != nil {
				failed.Store(&err)
				return
			}
			conns[i] = c
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	l.begin = time.Now()
	fmt.Fprintln(os.Stderr, "ready")
	gap := time.Duration(float64(l.conns) / l.rate * float64(time.Second))
	for i, c := range conns {
		wg.Go(func() {
			defer c.Close()
			r := bufio.NewReaderSize(c, 4096)
			request := l.request()
			due := l.begin.Add(gap * time.Duration(i) / time.Duration(l.conns))
			for ; due.Sub(l.begin) < l.length; due = due.Add(gap) {
				from := due
				if wait := time.Until(due); wait > 0 {
					time.Sleep(wait)
					from = time.Now()
				}
				status, err := exchange(c, r, request)
				l.note(from, status, err)
				if err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return nil
}

// handshakes makes connections, each with one request, conns at a time.
func (l *loader) handshakes() {
	fmt.Fprintln(os.Stderr, "ready")
	var wg sync.WaitGroup
	for range l.conns {
		wg.Go(func() {
			cfg := l.config()
			if l.resumed {
				cfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			}
			request := l.request()
			r := bufio.NewReaderSize(nil, 4096)
			for first := true; time.Since(l.begin) < l.length; first = false {
				begin := time.Now()
				c, err := l.dial(cfg)
				if err != nil {
					l.note(begin, 0, err)
					continue
				}
				took := time.Since(begin)
				if l.resumed && !first && !c.ConnectionState().DidResume {
					l.note(begin, 0, errors.New("the session was not resumed"))
					c.Close()
					continue
				}
				r.Reset(c)
				status, err := exchange(c, r, request)
				c.Close()
				l.note(time.Now().Add(-took), status, err)
			}
		})
	}
	wg.Wait()
}

// idle opens connections, makes one request on each, says "ready" and holds them
// until its standard input ends.
func (l *loader) idle() error {
	var wg sync.WaitGroup
	gate := make(chan struct{}, 8)
	conns := make([]*tls.Conn, l.conns)
	for i := range conns {
		gate <- struct{}{}
		wg.Go(func() {
			defer func() { <-gate }()
			begin := time.Now()
			c, err := l.dial(l.config())
			if err != nil {
				l.note(begin, 0, err)
				return
			}
			conns[i] = c
			status := 0
			if l.h2 {
				status, err = l.exchange2(c)
			} else {
				status, err = exchange(c, bufio.NewReaderSize(c, 4096), l.request())
			}
			l.note(begin, status, err)
			if err := c.SetDeadline(time.Time{}); err != nil {
				l.note(begin, 0, err)
			}
		})
	}
	wg.Wait()
	fmt.Fprintln(os.Stderr, "ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	for _, c := range conns {
		if c != nil {
			c.NetConn().Close()
		}
	}
	return nil
}

// exchange makes one request and reads its answer, which has a Content-Length.
func exchange(w io.Writer, r *bufio.Reader, request []byte) (status int, err error) {
	if _, err := w.Write(request); err != nil {
		return 0, err
	}
	length := -1
	for first := true; ; first = false {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if first {
			if len(line) < 12 {
				return 0, fmt.Errorf("status line %q", line)
			}
			if status, err = strconv.Atoi(string(line[9:12])); err != nil {
				return 0, err
			}
			continue
		}
		if len(line) == 0 {
			break
		}
		if name, value, _ := bytes.Cut(line, []byte(":")); len(name) == 14 && strings.EqualFold(string(name), "Content-Length") {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return 0, err
			}
		}
	}
	if length < 0 {
		return 0, errors.New("answer without Content-Length")
	}
	_, err = r.Discard(length)
	return status, err
}

// exchange2 makes the first request of an HTTP/2 connection and reads frames until
// its stream ends.
func (l *loader) exchange2(c net.Conn) (status int, err error) {
	block := []byte{0x82, 0x87} // :method GET, :scheme https
	block = append(block, 0x04, byte(len(l.path)))
	block = append(block, l.path...)
	block = append(block, 0x01, byte(len(l.host)))
	block = append(block, l.host...)
	out := []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	out = append(out, 0, 0, 0, frameSettings, 0, 0, 0, 0, 0)
	out = append(out, 0, 0, byte(len(block)), frameHeaders, flagEndStream|flagEndHeaders, 0, 0, 0, 1)
	out = append(out, block...)
	if _, err := c.Write(out); err != nil {
		return 0, err
	}
	r := bufio.NewReaderSize(c, 4096)
	var head [9]byte
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return 0, err
		}
		length := int(binary.BigEndian.Uint32(head[:4]) >> 8)
		kind, flags := head[3], head[4]
		switch kind {
		case frameHeaders:
			b, err := r.Peek(1)
			if err != nil {
				return 0, err
			}
			if b[0] == 0x88 { // :status 200
				status = 200
			}
		case frameSettings:
			if flags&flagAck == 0 {
				if _, err := c.Write([]byte{0, 0, 0, frameSettings, flagAck, 0, 0, 0, 0}); err != nil {
					return 0, err
				}
			}
		case frameReset, frameGoAway:
			return 0, fmt.Errorf("frame of type %d instead of an answer", kind)
		}
		if _, err := r.Discard(length); err != nil {
			return 0, err
		}
		if flags&flagEndStream != 0 && (kind == frameHeaders || kind == frameData) {
			return status, nil
		}
	}
}

// Of RFC 9113 §6.
const (
	frameData     = 0
	frameHeaders  = 1
	frameReset    = 3
	frameSettings = 4
	frameGoAway   = 7

	flagEndStream  = 1
	flagAck        = 1
	flagEndHeaders = 4
)
