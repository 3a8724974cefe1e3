package proxy_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// TestChaos lets clients and endpoints misbehave at random, in every way that the
// other tests try one by one, and checks what must hold whatever happens: every
// request that came in has one outcome with a reason of the list, and nothing
// hangs or is left behind.
func TestChaos(t *testing.T) {
	const clients, rounds = 16, 8
	var outcomes, badReasons atomic.Int64
	w := newWorld(t, settings{
		policy:      snapshot.Policy{ReadTimeout: 400 * time.Millisecond, SendTimeout: 400 * time.Millisecond},
		bodyTimeout: 400 * time.Millisecond, sendTimeout: 400 * time.Millisecond,
		sink: func(o *outcome.Request) {
			outcomes.Add(1)
			if !o.Reason.Known() || o.Reason == outcome.Panic || o.Reason == outcome.InternalError {
				badReasons.Add(1)
				t.Errorf("outcome %s %d: %s", o.Reason, o.Status, o.Err)
			}
		},
	}, backend(t, misbehave), backend(t, misbehave), nobody(t))

	var answered atomic.Int64
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for range rounds {
				answered.Add(int64(visit(t, w.addr)))
			}
		})
	}
	wg.Wait()
	// Exchanges whose client is gone take as long as the limits above to notice.
	for end := time.Now().Add(patience); w.proxy.InFlight() > 0; {
		if time.Now().After(end) {
			t.Fatalf("%d exchanges hang", w.proxy.InFlight())
		}
		<-time.After(10 * time.Millisecond)
	}
	if outcomes.Load() < answered.Load() {
		t.Errorf("%d outcomes for %d answers", outcomes.Load(), answered.Load())
	}
	t.Logf("%d outcomes, %d answers", outcomes.Load(), answered.Load())
}

// visit makes some requests over one connection, leaves at any point, and returns
// the number of answers.
func visit(t *testing.T, addr string) (answers int) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer c.Close()
	p := newPeer(t, c)
	if rand.IntN(4) == 0 {
		_ = c.(*net.TCPConn).SetLinger(0) // leave with a reset
	}
	for range 1 + rand.IntN(3) {
		size := []int{0, 5, 3000, 200_000}[rand.IntN(4)]
		method := []string{"GET", "POST", "PUT", "HEAD"}[rand.IntN(4)]
		head := method + " / HTTP/1.1\r\nHost: h\r\n"
		body := strings.Repeat("x", size)
		switch rand.IntN(3) {
		case 0:
			head += "Content-Length: " + itoa(size) + "\r\n\r\n"
		case 1:
			head += "Transfer-Encoding: chunked\r\n\r\n"
			body = fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", max(size, 1), strings.Repeat("x", max(size, 1)))
		default:
			head, body = head+"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", ""
		}
		text := head + body
		if rand.IntN(5) == 0 {
			text = text[:rand.IntN(len(text))] // and no more
		}
		half := rand.IntN(len(text) + 1)
		// The proxy may close or stop to read at any time.
		_, _ = io.WriteString(c, text[:half])
		if rand.IntN(3) == 0 {
			<-time.After(time.Duration(rand.IntN(250)) * time.Millisecond)
		}
		if rand.IntN(8) == 0 {
			return answers
		}
		_ = c.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = io.WriteString(c, text[half:])
		if rand.IntN(8) == 0 {
			return answers
		}
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		res, err := http.ReadResponse(p.r, &http.Request{Method: method})
		if err != nil {
			return answers
		}
		answers++
		if _, err := io.CopyN(io.Discard, res.Body, int64(rand.IntN(100_000))); err == nil || res.Close || res.StatusCode == 101 {
			return answers
		}
	}
	return answers
}

// misbehave serves a connection in some way.
func misbehave(p *peer, _ int) {
	for {
		_ = p.SetDeadline(time.Now().Add(2 * time.Second))
		if rand.IntN(20) == 0 {
			return
		}
		req, err := http.ReadRequest(p.r)
		if err != nil {
			return
		}
		if rand.IntN(3) > 0 {
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				return
			}
		}
		if rand.IntN(10) == 0 {
			_ = p.Conn.(*net.TCPConn).SetLinger(0)
		}
		if rand.IntN(10) == 0 {
			<-time.After(time.Duration(rand.IntN(500)) * time.Millisecond)
		}
		size := []int{0, 7, 50_000, 400_000}[rand.IntN(4)]
		body := strings.Repeat("y", size)
		answer := ""
		switch rand.IntN(8) {
		case 0:
			return
		case 1:
			answer = "HTTP/1.1 200 OK\r\n\r\n" + body
		case 2, 3:
			answer = fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%sz\r\n0\r\nX: y\r\n\r\n", size+1, body)
		case 4:
			answer = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"
		case 5:
			answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + body
		default:
			answer = fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", size, body)
		}
		if req.Method == "HEAD" {
			answer, _, _ = strings.Cut(answer, "\r\n\r\n")
			answer += "\r\n\r\n"
		}
		if rand.IntN(6) == 0 {
			answer = answer[:rand.IntN(len(answer))]
		}
		half := rand.IntN(len(answer) + 1)
		if _, err := io.WriteString(p, answer[:half]); err != nil {
			return
		}
		if rand.IntN(6) == 0 {
			<-time.After(time.Duration(rand.IntN(300)) * time.Millisecond)
		}
		if _, err := io.WriteString(p, answer[half:]); err != nil || len(answer) == half {
			return
		}
	}
}
