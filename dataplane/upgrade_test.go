package dataplane_test

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// TestUpgradeOverHTTP2 sends a websocket's handshake and bytes through two data
// planes with HTTP/2 between them (RFC 8441), and HTTP/1.1 at both ends.
func TestUpgradeOverHTTP2(t *testing.T) {
	inner := newWorld(t, nil)
	inner.publish(single("ws.example", snapshot.Policy{}, serveBoth(t, upgradeEcho)))
	outer := newWorld(t, nil)
	h, pool := host("ws.example", snapshot.Policy{})
	pool.Protocol = snapshot.H2C
	outer.publish(snapshot.Update{
		Spec:      &snapshot.Spec{Hosts: []*snapshot.Host{h}, Pools: []*snapshot.Pool{pool}},
		Endpoints: map[string][]snapshot.Endpoint{pool.ID: {{Addr: netip.MustParseAddrPort(inner.Addr("http").String())}}},
	})

	nc, err := net.Dial("tcp", outer.Addr("http").String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(patience))
	fmt.Fprint(nc, "GET /chat HTTP/1.1\r\nHost: ws.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	rd := bufio.NewReader(nc)
	res, err := http.ReadResponse(rd, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 101 || res.Header.Get("Upgrade") != "websocket" || res.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("answer = %s %v, want 101 with the accept of the key", res.Status, res.Header)
	}
	for _, word := range []string{"hello", "again"} {
		if _, err := io.WriteString(nc, word); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(word))
		if _, err := io.ReadFull(rd, got); err != nil || string(got) != word {
			t.Fatalf("echo of %q = %q, %v", word, got, err)
		}
	}
	// Half-closed: the backend sees the end and has the last word.
	if err := nc.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(rd); string(rest) != "bye" || err != nil {
		t.Errorf("after the end: %q, %v, want bye", rest, err)
	}
	outer.ended()
	inner.ended()
	for _, w := range []*world{outer, inner} {
		if got := w.requests[outcome.OK]; got != 1 {
			t.Errorf("outcomes = %v, want one ok", w.requests)
		}
	}
	if outer.statuses[101] != 1 || inner.statuses[200] != 1 {
		t.Errorf("statuses of HTTP/1.1 %v, of HTTP/2 %v, want 101 and 200: what each client was sent", outer.statuses, inner.statuses)
	}
}

// upgradeEcho accepts a websocket's handshake and echoes bytes.
func upgradeEcho(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != "websocket" || r.URL.Path != "/chat" {
		w.WriteHeader(400)
		return
	}
	nc, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer nc.Close()
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	fmt.Fprintf(nc, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:]))
	_, _ = io.Copy(nc, rw)
	_, _ = io.WriteString(nc, "bye")
}
