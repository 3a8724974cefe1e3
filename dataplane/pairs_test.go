package dataplane_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// TestPairs holds every exchange to be the same whatever protocol either side
// speaks.
func TestPairs(t *testing.T) {
	for _, down := range []string{"h1", "h2", "h2c"} {
		for _, up := range []snapshot.Protocol{snapshot.HTTP1, snapshot.H2C} {
			t.Run(down+" to "+up.String(), func(t *testing.T) {
				for _, tt := range pairTests {
					t.Run(tt.name, func(t *testing.T) {
						p := newPair(t, down, up)
						tt.run(t, p)
					})
				}
			})
		}
	}
}

// A pair is a client and a backend with a data plane between them.
type pair struct {
	*world
	down    string
	client  *http.Client
	url     string
	handler http.HandlerFunc
}

func newPair(t *testing.T, down string, up snapshot.Protocol) *pair {
	t.Helper()
	p := &pair{world: newWorld(t, nil), down: down}
	h, pool := host("pair.example", snapshot.Policy{})
	pool.Protocol = up
	p.secure(h)
	p.publish(snapshot.Update{
		Spec: &snapshot.Spec{Hosts: []*snapshot.Host{h}, Pools: []*snapshot.Pool{pool}},
		Endpoints: map[string][]snapshot.Endpoint{pool.ID: {serveBoth(t, func(w http.ResponseWriter, r *http.Request) {
			p.handler(w, r)
		})}},
	})
	p.url = "http://pair.example/"
	tr := &http.Transport{
		Protocols:             new(http.Protocols),
		ExpectContinueTimeout: patience,
		TLSClientConfig:       &tls.Config{RootCAs: p.ca},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			to := p.Addr("http")
			if strings.HasSuffix(addr, ":443") {
				to = p.Addr("https")
			}
			return new(net.Dialer).DialContext(ctx, network, to.String())
		},
	}
	switch down {
	case "h1":
		tr.Protocols.SetHTTP1(true)
	case "h2":
		tr.Protocols.SetHTTP2(true)
		p.url = "https://pair.example/"
	case "h2c":
		tr.Protocols.SetUnencryptedHTTP2(true)
	}
	t.Cleanup(tr.CloseIdleConnections)
	p.client = &http.Client{Transport: tr, Timeout: patience}
	return p
}

// serveBoth starts a backend that speaks HTTP/1.1 and HTTP/2 in plain text.
func serveBoth(t *testing.T, h http.HandlerFunc) snapshot.Endpoint {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h, Protocols: new(http.Protocols)}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
	return snapshot.Endpoint{Addr: netip.MustParseAddrPort(l.Addr().String())}
}

// do sends a request and returns the answer and all of its body.
func (p *pair) do(req *http.Request) (*http.Response, []byte, error) {
	res, err := p.client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res, body, err
}

func (p *pair) must(req *http.Request) (*http.Response, []byte) {
	p.t.Helper()
	res, body, err := p.do(req)
	if err != nil {
		p.t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	return res, body
}

func (p *pair) request(method string, body io.Reader) *http.Request {
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.url, body)
	if err != nil {
		p.t.Fatal(err)
	}
	return req
}

// unsized hides the length of a body.
type unsized struct{ io.Reader }

var pairTests = []struct {
	name string
	run  func(*testing.T, *pair)
}{
	{"get", func(t *testing.T, p *pair) {
		p.handler = func(w http.ResponseWriter, r *http.Request) {
			w.Header()["X-Two"] = []string{"1", "2"}
			fmt.Fprintf(w, "%s %s %s %q", r.Method, r.Host, r.URL, r.Header["X-In"])
		}
		req := p.request("GET", nil)
		req.URL.RawQuery = "a=b"
		req.Header["X-In"] = []string{"a, b", "c"}
		res, body := p.must(req)
		if want := `GET pair.example /?a=b ["a, b" "c"]`; string(body) != want || len(res.Header["X-Two"]) != 2 {
			t.Errorf("got %q, %v, want %q", body, res.Header, want)
		}
	}},
	{"bodies of every size and framing", func(t *testing.T, p *pair) {
		p.handler = func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Errorf("backend reads: %v", err)
			}
			if r.Header.Get("X-Length") != fmt.Sprint(r.ContentLength) {
				t.Errorf("backend: length %d, want %s", r.ContentLength, r.Header.Get("X-Length"))
			}
			_, _ = w.Write(body)
		}
		for _, size := range []int{0, 1, 4095, 4096, 16384, 16385, 65535, 65536, 300_000, 3 << 20} {
			sent := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
			for _, known := range []bool{true, false} {
				var body io.Reader = bytes.NewReader(sent)
				length := fmt.Sprint(size)
				if !known {
					body, length = unsized{body}, "-1"
				}
				req := p.request("POST", body)
				req.Header.Set("X-Length", length)
				if size == 0 && !known {
					continue // a client asks its body whether it is one
				}
				if _, got := p.must(req); sha256.Sum256(got) != sha256.Sum256(sent) {
					t.Errorf("%d bytes (length known %t): got %d other ones", size, known, len(got))
				}
			}
		}
	}},
	{"no body", func(t *testing.T, p *pair) {
		p.handler = func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Query().Get("s") {
			case "204":
				w.WriteHeader(204)
			case "304":
				w.Header().Set("Etag", `"a"`)
				w.WriteHeader(304)
			default:
				w.Header().Set("Content-Length", "5")
				io.WriteString(w, "hello")
			}
		}
		for _, tt := range []struct {
			method, status string
			length         int64
		}{{"HEAD", "200", 5}, {"GET", "204", 0}, {"GET", "304", -1}} {
			req := p.request(tt.method, nil)
			req.URL.RawQuery = "s=" + tt.status
			res, body := p.must(req)
			if len(body) > 0 || !strings.HasPrefix(res.Status, tt.status) || tt.status != "304" && res.ContentLength != tt.length {
				t.Errorf("%s with %s: %s, length %d, %d bytes", tt.method, tt.status, res.Status, res.ContentLength, len(body))
			}
		}
	}},
	{"trailers", func(t *testing.T, p *pair) {
		p.handler = func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Trailer", "X-Sum")
			io.WriteString(w, "body")
			w.Header().Set("X-Sum", "got "+r.Trailer.Get("X-In"))
		}
		req := p.request("POST", unsized{strings.NewReader("x")})
		req.Header.Set("Te", "trailers")
		req.Trailer = http.Header{"X-In": {"7"}}
		res, _ := p.must(req)
		if got := res.Trailer.Get("X-Sum"); got != "got 7" {
			t.Errorf("trailers = %v, want X-Sum: got 7", res.Trailer)
		}
	}},
	{"100-continue", func(t *testing.T, p *pair) {
		p.handler = func(w http.ResponseWriter, r *http.Request) {
			if r.URL.RawQuery == "no" {
				w.WriteHeader(403)
				return
			}
			n, _ := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, n)
		}
		req := p.request("PUT", bytes.NewReader(make([]byte, 100_000)))
		req.Header.Set("Expect", "100-continue")
		if _, body := p.must(req); string(body) != "100000" {
			t.Errorf("body = %q, want 100000", body)
		}
		req = p.request("PUT", bytes.NewReader(make([]byte, 100_000)))
		req.Header.Set("Expect", "100-continue")
		req.URL.RawQuery = "no"
		if res, _ := p.must(req); res.StatusCode != 403 {
			t.Errorf("status = %d, want 403", res.StatusCode)
		}
	}},
	{"early hints", func(t *testing.T, p *pair) {
		p.handler = func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", "</a.css>")
			w.WriteHeader(103)
			w.WriteHeader(103)
			w.WriteHeader(200)
		}
		hints := 0
		req := p.request("GET", nil)
		req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				if code == 103 && h.Get("Link") == "</a.css>" {
					hints++
				}
				return nil
			},
		}))
		if res, _ := p.must(req); res.StatusCode != 200 || hints != 2 {
			t.Errorf("status %d after %d hints, want 200 after 2", res.StatusCode, hints)
		}
	}},
	{"early response", func(t *testing.T, p *pair) {
		p.handler = func(w http.ResponseWriter, r *http.Request) {
			// Or else net/http reads the body before it answers, over HTTP/1.1.
			_ = http.NewResponseController(w).EnableFullDuplex()
			w.WriteHeader(413)
			io.WriteString(w, "too much")
		}
		// The body does not end before the response has come.
		body, more := io.Pipe()
		var writing sync.WaitGroup
		writing.Go(func() {
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for {
				if _, err := more.Write([]byte("some")); err != nil {
					return
				}
				<-tick.C
			}
		})
		defer writing.Wait()
		defer body.Close()
		res, err := p.client.Do(p.request("POST", body))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if text, _ := io.ReadAll(res.Body); res.StatusCode != 413 || string(text) != "too much" {
			t.Errorf("got %d %q, want 413 with its body", res.StatusCode, text)
		}
	}},
	{"both directions at once", func(t *testing.T, p *pair) {
		p.handler = func(w http.ResponseWriter, r *http.Request) {
			rc := http.NewResponseController(w)
			_ = rc.EnableFullDuplex()
			_ = rc.Flush()
			buf := make([]byte, 100)
			for {
				n, err := r.Body.Read(buf)
				_, _ = w.Write(bytes.ToUpper(buf[:n]))
				_ = rc.Flush()
				if err != nil {
					return
				}
			}
		}
		body, more := io.Pipe()
		res, err := p.client.Do(p.request("POST", body))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		for _, word := range []string{"a", "bc", "def"} {
			if _, err := io.WriteString(more, word); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(word))
			if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != strings.ToUpper(word) {
				t.Fatalf("echo of %q = %q, %v", word, got, err)
			}
		}
		more.Close()
		if rest, err := io.ReadAll(res.Body); len(rest) > 0 || err != nil {
			t.Errorf("after the end: %q, %v", rest, err)
		}
	}},
	{"client leaves while it waits", func(t *testing.T, p *pair) {
		arrived, left := make(chan struct{}), make(chan struct{})
		p.handler = func(w http.ResponseWriter, r *http.Request) {
			close(arrived)
			<-r.Context().Done()
			close(left)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-arrived
			cancel()
		}()
		if _, _, err := p.do(p.request("GET", nil).WithContext(ctx)); !errors.Is(err, context.Canceled) {
			t.Errorf("err = %v, want that of the client", err)
		}
		await(t, left, "the backend learns that the client has left")
		p.ended()
		if got := p.requests[outcome.ClientClosed]; got != 1 {
			t.Errorf("outcomes = %v, want one client_closed", p.requests)
		}
	}},
	{"client leaves within the body", func(t *testing.T, p *pair) {
		left := make(chan struct{})
		p.handler = func(w http.ResponseWriter, r *http.Request) {
			defer close(left)
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1000)); err != nil {
					return
				}
				_ = http.NewResponseController(w).Flush()
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		res, err := p.client.Do(p.request("GET", nil).WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.ReadFull(res.Body, make([]byte, 10_000))
		cancel()
		res.Body.Close()
		await(t, left, "the backend learns that the client has left")
	}},
	{"backend ends within the body", func(t *testing.T, p *pair) {
		p.handler = func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		if _, body, err := p.do(p.request("GET", nil)); err == nil {
			t.Errorf("body %q looks whole", body)
		}
		p.ended()
		if got := p.requests[outcome.UpstreamCut]; got != 1 {
			t.Errorf("outcomes = %v, want one upstream_cut", p.requests)
		}
	}},
	{"backend ends before the head", func(t *testing.T, p *pair) {
		p.handler = func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
		if res, _ := p.must(p.request("POST", strings.NewReader("x"))); res.StatusCode != 502 {
			t.Errorf("status = %d, want 502", res.StatusCode)
		}
	}},
	{"slow reader", func(t *testing.T, p *pair) {
		const size = 2 << 20
		p.handler = func(w http.ResponseWriter, r *http.Request) {
			for range size >> 16 {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}
		res, err := p.client.Do(p.request("GET", nil))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		n, err := io.Copy(io.Discard, &slowly{res.Body})
		if n != size || err != nil {
			t.Errorf("read %d bytes, %v, want %d", n, err, size)
		}
	}},
	{"many at a time", func(t *testing.T, p *pair) {
		p.handler = func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			fmt.Fprint(w, len(body))
		}
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				_, body, err := p.do(p.request("POST", bytes.NewReader(make([]byte, 1000*i))))
				if string(body) != fmt.Sprint(1000*i) || err != nil {
					t.Errorf("POST of %d bytes = %q, %v", 1000*i, body, err)
				}
			})
		}
		wg.Wait()
	}},
}

// slowly reads little at a time.
type slowly struct{ r io.Reader }

func (s *slowly) Read(p []byte) (int, error) { return s.r.Read(p[:min(len(p), 700)]) }

func await(t *testing.T, done <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		t.Errorf("not in time: %s", what)
	}
}
