package features

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/cardea-dev/cardea/test/harness"
)

// failing is the table that failing clients meet; the Secret of bare is not there.
const failing = `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: shop}
spec:
  ingressClassName: cardea
  tls:
  - {hosts: ["*.shop.example.com"], secretName: tls}
  - {hosts: [bare.example.com], secretName: none}
  rules:
  - host: "*.shop.example.com"
    http:
      paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]
  - host: bare.example.com
    http:
      paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]
`

// guarded demands client certificates; the data of the Secret follows it.
const guarded = `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: guarded, namespace: shop, annotations: {cardea.dev/auth-tls-secret: clients, cardea.dev/auth-tls-match-cn: CN=alice}}
spec:
  ingressClassName: cardea
  tls: [{hosts: ["*.guarded.example.com"], secretName: tls}]
  rules:
  - host: "*.guarded.example.com"
    http:
      paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]
---
apiVersion: v1
kind: Secret
metadata: {name: clients, namespace: shop}
stringData: `

// TestHandshakeFailures: every way in which a client can fail has its own reason,
// the same in the handshake log and in the metric.
func TestHandshakeFailures(t *testing.T) {
	dir, ca, clients := t.TempDir(), harness.NewAuthority(t), harness.NewAuthority(t)
	harness.Write(t, dir, "ingress.yaml", failing)
	revoked := clients.Client("alice")
	harness.Write(t, dir, "guarded.yaml", guarded+clients.Bundle(revoked))
	harness.Write(t, dir, "service.yaml", harness.Service("shop", "web", harness.Backend(t, "web")))
	harness.Write(t, dir, "secret.yaml", ca.Secret("shop", "tls", harness.Leaf{Names: []string{"*.shop.example.com", "*.guarded.example.com"}}))
	// Every other client has to be done within the time of the handshake.
	p := harness.Serve(t, dir, "--handshake-first-byte-timeout", "2s", "--handshake-timeout", "15s", "--handshake-log", "failures")
	front := harness.Front{Addr: p.HTTPS, Wildcard: "*.shop.example.com", Bare: "bare.example.com", Guarded: "*.guarded.example.com", Clients: clients, Revoked: revoked}
	for _, c := range harness.FailingClients() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			record := p.Record("handshake", c.Fail(t, front))
			if err := c.Check(record); err != nil {
				t.Error(err)
			}
			// Label values are in the order of their names.
			want := fmt.Sprintf(`listener="https",reason=%q,result=%q}`, c.Reason, record["result"])
			p.Until("the metric names the reason", func() error {
				page, err := p.Get(p.Admin, "/metrics")
				for line := range strings.Lines(page) {
					if strings.HasPrefix(line, "cardea_tls_handshakes_total{") && strings.Contains(line, want) && !strings.HasSuffix(line, " 0\n") {
						return nil
					}
				}
				return fmt.Errorf("no handshake with %s (%v)", want, err)
			})
		})
	}
}

// TestRow8OneOutcomeAConnection: however many requests a connection carries, its
// handshake is told once, and every line of the access log names the connection,
// those of malformed requests too.
func TestRow8OneOutcomeAConnection(t *testing.T) {
	dir, ca := t.TempDir(), harness.NewAuthority(t)
	harness.Write(t, dir, "ingress.yaml", failing)
	harness.Write(t, dir, "service.yaml", harness.Service("shop", "web", harness.Backend(t, "web")))
	harness.Write(t, dir, "secret.yaml", ca.Secret("shop", "tls", harness.Leaf{Names: []string{"*.shop.example.com"}}))
	p := harness.Serve(t, dir)

	const good = "GET / HTTP/1.1\r\nHost: a.shop.example.com\r\n\r\n"
	const twoHosts = "GET / HTTP/1.1\r\nHost: a.shop.example.com\r\nHost: b.shop.example.com\r\n\r\n"
	for _, c := range []struct {
		name   string
		tls    bool
		protos []string
		talk   func(*testing.T, net.Conn)
		lines  int
	}{
		{"HTTP/1.1", true, nil, talk(good, good, twoHosts), 3},
		{"nothing but garbage", true, nil, talk("\x01\x02 garbage\r\n\r\n"), 1},
		{"HTTP/2", true, []string{"h2"}, talkHTTP2, 3},
		{"plain HTTP/1.1", false, nil, talk(good, twoHosts), 2},
		{"plain garbage", false, nil, talk("\x01\x02 garbage\r\n\r\n"), 1},
		{"HTTP/2 by prior knowledge", false, nil, talkHTTP2, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			addr := p.HTTP
			if c.tls {
				addr = p.HTTPS
			}
			raw, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			_ = raw.SetDeadline(time.Now().Add(harness.Patience))
			conn := raw
			if c.tls {
				conn = tls.Client(raw, &tls.Config{ServerName: "a.shop.example.com", RootCAs: ca.Pool(), NextProtos: c.protos})
			}
			c.talk(t, conn)
			_ = raw.Close()

			remote := raw.LocalAddr().String()
			var access, shakes []harness.Record
			p.Until(fmt.Sprintf("%d lines of the access log", c.lines), func() error {
				access, shakes = records(p, "access", remote), records(p, "handshake", remote)
				if len(access) < c.lines || c.tls && len(shakes) == 0 {
					return fmt.Errorf("%d lines, %d handshakes", len(access), len(shakes))
				}
				return nil
			})
			if len(access) != c.lines {
				t.Errorf("%d lines of the access log, want %d: %v", len(access), c.lines, access)
			}
			id := access[0]["conn"]
			if c.tls {
				if len(shakes) != 1 {
					t.Errorf("%d handshakes, want 1", len(shakes))
				}
				id = shakes[0]["conn"]
			}
			for _, line := range access {
				if line["conn"] != id || id == nil {
					t.Errorf("a line of connection %v, want %v: %v", line["conn"], id, line)
				}
			}
		})
	}
}

// records returns what a log says of the connection from remote.
func records(p *harness.Program, log, remote string) (found []harness.Record) {
	for line := range strings.Lines(p.Stdout()) {
		var r harness.Record
		if json.Unmarshal([]byte(line), &r) == nil && r["log"] == log && r["remote"] == remote {
			found = append(found, r)
		}
	}
	return found
}

// talk sends requests one after the other and reads an answer to each.
func talk(requests ...string) func(*testing.T, net.Conn) {
	return func(t *testing.T, c net.Conn) {
		r := bufio.NewReader(c)
		for _, text := range requests {
			if _, err := io.WriteString(c, text); err != nil {
				t.Fatal(err)
			}
			res, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatalf("after %q: %v", text, err)
			}
			_, _ = io.Copy(io.Discard, res.Body)
		}
	}
}

// talkHTTP2 sends two good requests and one with a field name in upper case
// (RFC 9113 §8.2.1: "A request or response that contains uppercase … MUST be
// treated as malformed"), each on a stream of its own.
func talkHTTP2(t *testing.T, c net.Conn) {
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	f := http2.NewFramer(c, c)
	if err := f.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	scheme := "http"
	if _, ok := c.(*tls.Conn); ok {
		scheme = "https"
	}
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for i, extra := range []string{"x-good", "x-good", "X-Bad"} {
		block.Reset()
		for _, field := range [][2]string{{":method", "GET"}, {":scheme", scheme}, {":path", "/"}, {":authority", "a.shop.example.com"}, {extra, "1"}} {
			if err := enc.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}); err != nil {
				t.Fatal(err)
			}
		}
		id := uint32(2*i + 1)
		if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true}); err != nil {
			t.Fatal(err)
		}
		for ended := false; !ended; {
			frame, err := f.ReadFrame()
			if err != nil {
				t.Fatalf("stream %d: %v", id, err)
			}
			switch frame.(type) {
			case *http2.RSTStreamFrame:
				ended = frame.Header().StreamID == id
			case *http2.DataFrame, *http2.HeadersFrame:
				ended = frame.Header().StreamID == id && frame.Header().Flags.Has(http2.FlagDataEndStream)
			}
		}
	}
}
