package http1

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cardea-dev/cardea/dataplane/message"
)

// TestServerWithNetHTTP lets the standard library's client use one connection.
func TestServerWithNetHTTP(t *testing.T) {
	client, server := tcpPair(t)
	serveOn(t, server, &Server{Handler: stream})
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		if client == nil {
			return nil, errors.New("a second connection")
		}
		c := client
		client = nil
		return c, nil
	}}
	defer transport.CloseIdleConnections()
	big := bytes.Repeat([]byte("0123456789"), 50000)
	for _, test := range []struct {
		method  string
		body    []byte
		chunked bool
	}{
		{"GET", nil, false},
		{"HEAD", nil, false},
		{"POST", []byte("abc"), false},
		{"PUT", big, false},
		{"POST", big, true},
		{"OPTIONS", nil, false},
		{"POST", []byte("x"), true},
		{"DELETE", nil, false},
	} {
		var body io.Reader = bytes.NewReader(test.body)
		if test.chunked {
			body = io.MultiReader(body) // hides the length
		}
		req, err := http.NewRequestWithContext(t.Context(), test.method, "http://a/x?y", body)
		if err != nil {
			t.Fatal(err)
		}
		if test.chunked {
			req.Trailer = http.Header{"X-Sum": {"1"}}
		}
		res, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || !bytes.Equal(got, test.body) || test.chunked && res.Trailer.Get("X-Sum") != "1" {
			t.Fatalf("%s: got %d bytes, trailers %v, %v, want %d bytes", test.method, len(got), res.Trailer, err, len(test.body))
		}
	}
}

// TestClientWithNetHTTP sends to the standard library's server on one connection.
func TestClientWithNetHTTP(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		body, _ := io.ReadAll(r.Body) // it reads no more once it has begun to answer
		_, _ = w.Write(body)
		w.Header().Set("X-Sum", r.Trailer.Get("X-Sum"))
	}))
	defer srv.Close()
	conn, err := net.Dial("tcp", strings.TrimPrefix(srv.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := NewClientConn(conn, nil)
	big := bytes.Repeat([]byte("0123456789"), 10000)
	for _, length := range []int64{0, int64(len(big)), -1, 0, -1} {
		req := newRequest("POST")
		req.Length = length
		var trailers message.Fields
		trailers.AddName("X-Sum", "7")
		req.Fields.Add(message.Trailer, "X-Sum")
		body, sum := big, "7"
		if length == 0 {
			body = nil
		}
		if length >= 0 {
			sum = ""
		}
		if err := errors.Join(c.Head(req), c.Write(body), c.End(&trailers)); err != nil {
			t.Fatal(err)
		}
		res, err := c.Response(nil)
		if err != nil || res.Status != 200 {
			t.Fatalf("Response = %+v, %v", res, err)
		}
		got, err := readAll(c.Body())
		if err != nil || got != string(body) || string(c.Body().Trailers().Named("X-Sum")) != sum {
			t.Fatalf("length %d: got %d bytes, %v, trailers %v", length, len(got), err, c.Body().Trailers())
		}
		if !c.Close() {
			t.Fatal("Close() = false")
		}
	}
}
