package cli_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/test/harness"
)

// TestRow74ConnectionsKeepTheirCertificate: a connection that was made before its
// host's certificate was replaced goes on being served; a new one gets the new
// certificate.
func TestRow74ConnectionsKeepTheirCertificate(t *testing.T) {
	dir, ca := t.TempDir(), harness.NewAuthority(t)
	leaf := harness.Leaf{Names: []string{"shop.example.com"}}
	harness.Write(t, dir, "shop.yaml", shop)
	harness.Write(t, dir, "services.yaml", harness.Service("shop", "web", harness.Backend(t, "web")))
	harness.Write(t, dir, "tls.yaml", ca.Secret("shop", "shop-tls", leaf))
	p := harness.Serve(t, dir)
	dial := func() *tls.Conn {
		t.Helper()
		c, err := tls.Dial("tcp", p.HTTPS, &tls.Config{ServerName: "shop.example.com", RootCAs: ca.Pool()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if err := c.SetDeadline(time.Now().Add(harness.Patience)); err != nil {
			t.Fatal(err)
		}
		return c
	}
	serial := func(c *tls.Conn) string { return c.ConnectionState().PeerCertificates[0].SerialNumber.String() }
	ask := func(c *tls.Conn) int {
		t.Helper()
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: shop.example.com\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			t.Fatal(err)
		}
		return res.StatusCode
	}

	old := dial()
	if status := ask(old); status != http.StatusOK {
		t.Fatalf("before: %d, want 200", status)
	}
	for range 3 {
		p.Write("tls.yaml", ca.Secret("shop", "shop-tls", leaf))
		before := serial(old)
		p.Until("new connections get the new certificate", func() error {
			if now := dial(); serial(now) == before {
				return fmt.Errorf("still serial %s", before)
			}
			return nil
		})
		if status := ask(old); status != http.StatusOK {
			t.Errorf("after: the old connection answers %d, want 200", status)
		}
	}
}

// TestRow76OneOfMany: in a folder of 200 hosts one certificate is replaced, then
// broken, then repaired: nothing but its host's line changes in the table, and the
// others are told of nothing.
func TestRow76OneOfMany(t *testing.T) {
	const hosts = 200
	dir, ca := t.TempDir(), harness.NewAuthority(t)
	file := func(i int) string { return fmt.Sprintf("h%d.yaml", i) }
	manifest := func(i int, secret string) string {
		return strings.NewReplacer("shop.example.com", fmt.Sprintf("h%d.example.com", i), "plain.example.com", fmt.Sprintf("p%d.example.com", i),
			"name: shop,", fmt.Sprintf("name: h%d,", i), "shop-tls", fmt.Sprintf("h%d", i)).Replace(shop) + secret
	}
	secret := func(i int) string {
		return ca.Secret("shop", fmt.Sprintf("h%d", i), harness.Leaf{Names: []string{fmt.Sprintf("h%d.example.com", i)}})
	}
	for i := range hosts {
		harness.Write(t, dir, file(i), manifest(i, secret(i)))
	}
	harness.Write(t, dir, "services.yaml", harness.Service("shop", "web", harness.Backend(t, "web")))
	p := harness.Serve(t, dir)
	table := func() []string { return strings.Split(get(t, p, p.Debug, "/debug/spec"), "\n") }
	changed := func(before []string) (lines []string) {
		now := table()
		if len(now) != len(before) {
			t.Fatalf("the table has %d lines, want %d", len(now), len(before))
		}
		for i := range now {
			if now[i] != before[i] {
				lines = append(lines, now[i])
			}
		}
		return lines
	}

	before := table()
	p.Write(file(7), manifest(7, secret(7)))
	p.Until("the new certificate is in the table", func() error {
		if len(changed(before)) == 0 {
			return fmt.Errorf("nothing changed")
		}
		return nil
	})
	if lines := changed(before); len(lines) != 1 || !strings.Contains(lines[0], "h7.example.com") {
		t.Errorf("changed lines %q, want that of h7.example.com", lines)
	}

	before = table()
	p.Write(file(7), manifest(7, "---\napiVersion: v1\nkind: Secret\nmetadata: {name: h7, namespace: shop}\ntype: kubernetes.io/tls\nstringData: {tls.crt: garbage, tls.key: garbage}\n"))
	p.Until("the bad Secret is told", func() error {
		if !strings.Contains(p.Stderr(), "SecretInvalid") {
			return fmt.Errorf("not yet")
		}
		return nil
	})
	if lines := changed(before); len(lines) != 0 {
		t.Errorf("changed lines %q, want the last good certificate and no change", lines)
	}
	for _, line := range strings.Split(p.Stderr(), "\n") {
		if strings.Contains(line, "SecretInvalid") && !strings.Contains(line, "h7") {
			t.Errorf("told of another host: %s", line)
		}
	}
	if page := get(t, p, p.Admin, "/metrics"); strings.Count(page, "\ncardea_secret_last_good{") != 1 {
		t.Error("cardea_secret_last_good does not tell of the one Secret alone")
	}

	p.Write(file(7), manifest(7, secret(7)))
	p.Until("the repair is in the table", func() error {
		if lines := changed(before); len(lines) != 1 || !strings.Contains(lines[0], "h7.example.com") {
			return fmt.Errorf("changed lines %q", lines)
		}
		return nil
	})
}

// TestRow74DrainOnRotate: if wanted, the clients of a host whose certificate was
// replaced are asked to leave, each with its next answer; what is under way ends in
// peace, and the connections of other hosts are left alone. Parameters of the class
// say so, too.
func TestRow74DrainOnRotate(t *testing.T) {
	const class = `apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: cardea}
spec:
  controller: cardea.dev/ingress-controller
  parameters: {apiGroup: cardea.dev, kind: IngressClassParameters, name: drain}
---
apiVersion: cardea.dev/v1alpha1
kind: IngressClassParameters
metadata: {name: drain}
spec: {tls: {onRotate: drain}}
`
	for _, tc := range []struct {
		name, class string
		flags       []string
	}{
		{"by flag", "", []string{"--tls-on-rotate", "drain"}},
		{"by parameters", class, nil},
	} {
		t.Run(tc.name, func(t *testing.T) { testDrainOnRotate(t, tc.class, tc.flags) })
	}
}

func testDrainOnRotate(t *testing.T, class string, flags []string) {
	dir, ca := t.TempDir(), harness.NewAuthority(t)
	arrived, finish := make(chan struct{}), make(chan struct{})
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(arrived)
			<-finish
		}
		fmt.Fprint(w, "whole")
	}))
	t.Cleanup(backend.Close)
	leaf := harness.Leaf{Names: []string{"shop.example.com"}}
	harness.Write(t, dir, "shop.yaml", shop)
	harness.Write(t, dir, "other.yaml", strings.NewReplacer("shop.example.com", "other.example.com", "plain.example.com", "none.example.com",
		"{name: shop,", "{name: other,", "shop-tls", "other-tls").Replace(shop))
	harness.Write(t, dir, "services.yaml", harness.Service("shop", "web", backend.Listener.Addr().(*net.TCPAddr).Port))
	harness.Write(t, dir, "tls.yaml", ca.Secret("shop", "shop-tls", leaf))
	harness.Write(t, dir, "other-tls.yaml", ca.Secret("shop", "other-tls", harness.Leaf{Names: []string{"other.example.com"}}))
	if class != "" {
		harness.Write(t, dir, "class.yaml", class)
	}
	p := harness.Serve(t, dir, flags...)
	dial := func(name, protocol string) *tls.Conn {
		t.Helper()
		c, err := tls.Dial("tcp", p.HTTPS, &tls.Config{ServerName: name, RootCAs: ca.Pool(), NextProtos: []string{protocol}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if err := c.SetDeadline(time.Now().Add(harness.Patience)); err != nil {
			t.Fatal(err)
		}
		return c
	}
	get := func(c *tls.Conn, host string) *http.Response {
		t.Helper()
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if body, err := io.ReadAll(res.Body); err != nil || string(body) != "whole" {
			t.Fatalf("GET https://%s/: %d, %q, %v", host, res.StatusCode, body, err)
		}
		return res
	}
	two := func(c *tls.Conn) *http.ClientConn {
		t.Helper()
		transport := &http.Transport{
			ForceAttemptHTTP2: true,
			DialTLSContext:    func(context.Context, string, string) (net.Conn, error) { return c, nil },
		}
		cc, err := transport.NewClientConn(t.Context(), "https", "shop.example.com:443")
		if err != nil {
			t.Fatal(err)
		}
		return cc
	}
	trip := func(cc *http.ClientConn, path string) error {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://shop.example.com"+path, nil)
		if err != nil {
			return err
		}
		res, err := cc.RoundTrip(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if body, err := io.ReadAll(res.Body); err != nil || string(body) != "whole" {
			return fmt.Errorf("%d, %q, %v", res.StatusCode, body, err)
		}
		return nil
	}
	one, other := dial("shop.example.com", "http/1.1"), dial("other.example.com", "http/1.1")
	if res := get(one, "shop.example.com"); res.Close {
		t.Error("before the rotation the connection ends")
	}
	multiplexed := two(dial("shop.example.com", "h2"))
	slow := make(chan error, 1)
	go func() { slow <- trip(multiplexed, "/slow") }()
	<-arrived

	before := one.ConnectionState().PeerCertificates[0].SerialNumber.String()
	p.Write("tls.yaml", ca.Secret("shop", "shop-tls", leaf))
	var fresh *tls.Conn
	p.Until("new connections get the new certificate", func() error {
		if fresh = dial("shop.example.com", "http/1.1"); fresh.ConnectionState().PeerCertificates[0].SerialNumber.String() == before {
			return fmt.Errorf("still the old one")
		}
		return nil
	})

	if res := get(one, "shop.example.com"); !res.Close {
		t.Error("HTTP/1.1: the answer after the rotation lacks Connection: close")
	}
	if n, err := one.Read(make([]byte, 1)); n > 0 || err != io.EOF {
		t.Errorf("HTTP/1.1: behind it: %d bytes, %v, want the end", n, err)
	}
	if err := trip(multiplexed, "/"); err != nil {
		t.Errorf("HTTP/2: a request after the rotation: %v, want it to be served", err)
	}
	p.Until("HTTP/2: GOAWAY", func() error {
		if multiplexed.Available() > 0 {
			return fmt.Errorf("the client knows of none")
		}
		return nil
	})
	close(finish)
	if err := <-slow; err != nil {
		t.Errorf("HTTP/2: a request that was under way: %v, want it to end in peace", err)
	}
	if res := get(other, "other.example.com"); res.Close {
		t.Error("the connection of another host ends, too")
	}
	if res := get(fresh, "shop.example.com"); res.Close {
		t.Error("a connection with the new certificate ends")
	}
	wantMetric(t, p, `cardea_connections_total{listener="https",reason="certificate_replaced"} 2`)
}
