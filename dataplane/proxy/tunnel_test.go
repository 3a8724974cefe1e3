package proxy_test

import (
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

const upgradeRequest = "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n"

const switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: a\r\n\r\n"

// tunnelEcho accepts an upgrade and echoes until the client has ended its half.
func tunnelEcho(p *peer, _ int) {
	req, _ := p.request()
	if req == nil {
		return
	}
	if req.Header.Get("Upgrade") != "websocket" || req.Header.Get("Connection") != "Upgrade" {
		p.t.Errorf("backend got %v, want the upgrade", req.Header)
	}
	p.send(switched + "hello")
	for buf := make([]byte, 4096); ; {
		n, err := p.r.Read(buf)
		if err != nil {
			break
		}
		p.send(string(buf[:n]))
	}
	p.send("bye")
}

func TestTunnel(t *testing.T) {
	w := newWorld(t, settings{}, backend(t, tunnelEcho))
	c := w.dial()
	c.send(upgradeRequest + "early")
	if res, err := http.ReadResponse(c.r, nil); err != nil || res.StatusCode != 101 || res.Header.Get("Sec-WebSocket-Accept") != "a" || res.Header.Get("Upgrade") != "websocket" {
		t.Fatalf("response %v, %v, want 101 with the backend's fields", res, err)
	}
	// What came with the two heads, in both directions.
	c.until("helloearly")
	for range 3 {
		c.send("ping")
		c.until("ping")
	}
	// Half of the connection ends; the other half still says something.
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	c.until("bye")
	c.wantEnd()
	o := w.outcome(outcome.OK, 101)
	if !o.Upgraded || o.BodyIn != int64(len("earlypingpingping")) || o.BodyOut != int64(len("helloearlypingpingpingbye")) {
		t.Errorf("outcome: upgraded %v, %d in, %d out", o.Upgraded, o.BodyIn, o.BodyOut)
	}
}

func TestUpgradeRefused(t *testing.T) {
	w := newWorld(t, settings{}, backend(t, echo))
	c := w.dial()
	c.send(upgradeRequest)
	c.want("GET", 200, "GET /ws ")
	if o := w.outcome(outcome.OK, 200); o.Upgraded {
		t.Errorf("upgraded without a 101")
	}
	// The connection is an ordinary one.
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	c.want("GET", 200, "GET / ")
	w.outcome(outcome.OK, 200)
}

func TestTunnelWithoutAnswer(t *testing.T) {
	// CVE-2026-2833: what follows an upgrade request reaches the backend only
	// after its 101.
	w := newWorld(t, settings{}, backend(t, func(p *peer, _ int) {
		p.request()
		if n := p.r.Buffered(); n > 0 {
			t.Errorf("%d bytes came behind the request", n)
		}
		p.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
		if rest, _ := io.ReadAll(p.r); len(rest) > 0 {
			t.Errorf("%q came though there was no 101", rest)
		}
	}))
	c := w.dial()
	c.send(upgradeRequest + "GET /admin HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Length: 1\r\n\r\n")
	c.want("GET", 403, "")
	w.outcome(outcome.OK, 403)
	c.want("GET", 400, "400 Bad Request\nreason: bad_request\ndetail: Content-Length that is not one number, once\nrequest id: "+idOf(w))
	w.set.Close()
}

// idOf takes the next outcome and returns its request ID and a line feed.
func idOf(w *world) string { return string((<-w.outcomes).ID) + "\n" }

func TestTunnelIdle(t *testing.T) {
	const limit = 600 * time.Millisecond
	w := newWorld(t, settings{policy: snapshot.Policy{ReadTimeout: limit}}, backend(t, tunnelEcho))
	c := w.dial()
	c.send(upgradeRequest)
	c.until("hello")
	// Movement in either direction keeps it.
	for range 4 {
		<-time.After(limit / 4)
		c.send("ping")
		c.until("ping")
	}
	start := time.Now()
	_, _ = io.ReadAll(c.r)
	if got := time.Since(start); got < limit*9/10 {
		t.Errorf("cut after %v of silence, want %v", got, limit)
	}
	w.outcome(outcome.UpstreamTimeout, 101)
}

func TestTunnelEndsWithEitherSide(t *testing.T) {
	t.Run("backend", func(t *testing.T) {
		w := newWorld(t, settings{}, backend(t, func(p *peer, _ int) {
			p.request()
			p.send(switched)
			_ = p.Conn.(*net.TCPConn).SetLinger(0) // a reset
		}))
		c := w.dial()
		c.send(upgradeRequest)
		_, _ = io.ReadAll(c.r)
		w.outcome(outcome.UpstreamCut, 101)
	})
	t.Run("client", func(t *testing.T) {
		w := newWorld(t, settings{}, backend(t, func(p *peer, _ int) {
			p.request()
			p.send(switched)
			_, _ = io.ReadAll(p.r)
		}))
		c := w.dial()
		c.send(upgradeRequest)
		c.until("\r\n\r\n")
		_ = c.Conn.(*net.TCPConn).SetLinger(0)
		c.Close()
		w.outcome(outcome.ClientClosed, 101)
	})
	t.Run("client, when it has everything", func(t *testing.T) {
		w := newWorld(t, settings{}, backend(t, func(p *peer, _ int) {
			p.request()
			p.send(switched + "bye")
			_ = p.Conn.(*net.TCPConn).CloseWrite()
			_, _ = io.ReadAll(p.r)
		}))
		c := w.dial()
		c.send(upgradeRequest)
		_, _ = io.ReadAll(c.r)
		_ = c.Conn.(*net.TCPConn).SetLinger(0)
		c.Close()
		w.outcome(outcome.OK, 101)
	})
}
