package http1

import (
	"testing"

	"github.com/cardea-dev/cardea/dataplane/message"
)

// newRequest returns a request for http://a/.
func newRequest(method string) *message.Request {
	r := &message.Request{Version: message.HTTP11, Method: method, Target: []byte("/"), Authority: []byte("a")}
	r.Fields.Add(message.Host, "a")
	return r
}

// TestClientAgainstServer lets both sides of this package speak to each other, on
// one connection.
func TestClientAgainstServer(t *testing.T) {
	d := talk(t, &Server{})
	c := NewClientConn(d.conn, nil)
	for range 3 {
		r := newRequest("POST")
		r.Length = -1
		if err := c.Head(r); err != nil {
			t.Fatal(err)
		}
		if err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		var trailers message.Fields
		trailers.AddName("A", "b")
		if err := c.End(&trailers); err != nil {
			t.Fatal(err)
		}
		res, err := c.Response(nil)
		if err != nil || res.Status != 200 || res.Length != 18 {
			t.Fatalf("Response() = %+v, %v, want 200 of 18 bytes", res, err)
		}
		if got, err := readAll(c.Body()); err != nil || got != "POST / a hello A=b" {
			t.Fatalf("body = %q, %v", got, err)
		}
		if !c.Close() {
			t.Fatal("Close() = false after a complete exchange")
		}
	}
}
