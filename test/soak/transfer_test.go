//go:build soak && linux

package soak

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/test/process"
)

// memoryBound is how much resident memory the process may have at any time of a
// large transfer beyond what it had before. A body that is passed on takes a few
// buffers, and the windows that the two sides of HTTP/2 have for it.
const memoryBound = 16 << 20

// sentBound is how much a backend may send that the client does not take. Most of
// it is the kernel's, which lets each of the four sockets have several MiB.
const sentBound = 64 << 20

// transferTime bounds one large transfer.
const transferTime = 5 * time.Minute

// TestTransfers sends bodies of 1 GiB through the program, by TLS: each protocol
// of clients, each of backends (in a short run, one of them for each), both ways.
// The content is hashed as it passes at either end.
func TestTransfers(t *testing.T) {
	w := newWorld(t)
	w.ingresses()
	for _, p := range []protocol{tlsH1, tlsH2} {
		for _, backend := range []string{"web", "rpc"} {
			if testing.Short() && p.h2 != (backend == "rpc") {
				continue
			}
			for _, direction := range []string{"down", "up"} {
				name := fmt.Sprintf("%s to %s, %s", p.name, backend, direction)
				t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
					before, err := take(w.Process)
					if err != nil {
						t.Fatal(err)
					}
					start := time.Now()
					got, want := w.transfer(t, p, backend, direction)
					took := time.Since(start)
					after, err := take(w.Process)
					if err != nil {
						t.Fatal(err)
					}
					if got != want {
						t.Errorf("what came out is %s, want %s", got, want)
					}
					if after.peak > before.rss+memoryBound {
						t.Errorf("resident memory went from %d to %d MiB, want %d more at most", before.rss>>20, after.peak>>20, memoryBound>>20)
					}
					t.Logf("%d MiB in %.1f s, resident memory %d MiB before, %d at the most", *size>>20, took.Seconds(), before.rss>>20, after.peak>>20)
				})
			}
		}
	}
	w.conclude()
	w.fits(t)
}

// transfer returns the number of bytes and the hash of what came out at one end,
// and of what went in at the other.
func (w *world) transfer(t *testing.T, p protocol, backend, direction string) (got, want string) {
	conn, err := w.dial(p)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.close()
	conn.patience = transferTime
	c := newClient(direction, conn)
	defer c.cancel()
	sum := sha256.New()
	var req *http.Request
	if direction == "down" {
		req = c.request(http.MethodGet, fmt.Sprintf("/%s/down?size=%d", backend, *size), nil, 0)
	} else {
		req = c.request(http.MethodPost, "/"+backend+"/up", io.NopCloser(io.TeeReader(newFlow(*size), sum)), *size)
	}
	x, v := c.start(req)
	defer func() {
		x.finish(v.end == whole)
		w.ledger.see(direction, c.agent, *v)
	}()
	if v.end != "" {
		t.Fatalf("%s %s = %s, status %d %s, %v", req.Method, req.URL.Path, v.end, v.status, v.reason, v.err)
	}
	v.end = whole
	if direction == "up" {
		answer, err := io.ReadAll(x.res.Body)
		if err != nil {
			t.Fatal(err)
		}
		v.sent, v.got = *size, int64(len(answer))
		return string(answer), summary(*size, sum.Sum(nil))
	}
	v.got, err = io.CopyBuffer(sum, x.res.Body, make([]byte, 256<<10))
	if err != nil {
		t.Fatalf("after %d bytes: %v", v.got, err)
	}
	original := sha256.New()
	_, _ = io.Copy(original, newFlow(*size))
	return summary(v.got, sum.Sum(nil)), summary(*size, original.Sum(nil))
}

func summary(n int64, sum []byte) string { return fmt.Sprintf("%d %s", n, hex.EncodeToString(sum)) }

// TestStalledReader holds that a client which stops reading stops the backend: the
// answer waits where it is made, not in memory between.
func TestStalledReader(t *testing.T) {
	w := newWorld(t)
	w.ingresses()
	for _, p := range allProtocols {
		for _, backend := range []string{"web", "rpc"} {
			t.Run(strings.ReplaceAll(p.name+" to "+backend, " ", "_"), func(t *testing.T) {
				before, err := take(w.Process)
				if err != nil {
					t.Fatal(err)
				}
				conn, err := w.dial(p)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.close()
				c := newClient("stalled", conn)
				defer c.cancel()
				x, v := c.start(c.request(http.MethodGet, fmt.Sprintf("/%s/down?size=%d", backend, *size), nil, 0))
				if v.end != "" {
					t.Fatalf("no answer: %s, %v", v.end, v.err)
				}
				// The backend has come to a stop when its counter stays where it is.
				last := int64(0)
				w.Until("the backend has stopped", process.Patience, func() error {
					<-time.After(200 * time.Millisecond)
					was := last
					if last = w.sent(t, backend); last != was || last == 0 {
						return fmt.Errorf("it goes on: %d, then %d bytes", was, last)
					}
					return nil
				})
				if last > sentBound {
					t.Errorf("the backend could send %d MiB that nobody took, want %d at most", last>>20, sentBound>>20)
				}
				stalled, err := take(w.Process)
				if err != nil {
					t.Fatal(err)
				}
				if stalled.rss > before.rss+memoryBound {
					t.Errorf("resident memory went from %d to %d MiB, want %d more at most", before.rss>>20, stalled.rss>>20, memoryBound>>20)
				}
				c.abandon()
				x.finish(false)
				v.end = left
				w.ledger.see("stalled", c.agent, *v)
			})
		}
	}
	w.conclude()
	w.fits(t)
}

// sent returns how many bytes of their last large answers the backends of a Service
// have sent.
func (w *world) sent(t *testing.T, service string) (sum int64) {
	t.Helper()
	fleet := w.web
	if service == "rpc" {
		fleet = w.rpc
	}
	for _, b := range fleet {
		text, err := w.Get(b.addr.String(), "/sent")
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}
