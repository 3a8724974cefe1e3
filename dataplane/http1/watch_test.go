package http1

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

func TestWatch(t *testing.T) {
	// watching answers after a while of watching and reports whether the client
	// was gone.
	watching := func(gone *bool) func(*Exchange) {
		return func(x *Exchange) {
			left := make(chan struct{})
			stop := x.Watch(func() { *gone = true; close(left) })
			select {
			case <-left:
			case <-time.After(time.Second):
			}
			stop()
			echo(x)
		}
	}
	t.Run("a client that stays", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var gone bool
			c := talk(t, &Server{Handler: watching(&gone)})
			c.send(hello + "PO")
			time.Sleep(500 * time.Millisecond)
			c.send("ST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab")
			c.want("the first", answer)
			c.send("c")
			c.want("what was read ahead", "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nPOST / a abc")
			if gone {
				t.Error("gone was called")
			}
		})
	})
	t.Run("a client that leaves", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var gone bool
			c := talk(t, &Server{Handler: watching(&gone), HalfCloseTimeout: 500 * time.Millisecond})
			c.send(hello)
			start := time.Now()
			time.Sleep(300 * time.Millisecond)
			_ = c.conn.Close()
			<-c.done
			if !gone || time.Since(start) != 800*time.Millisecond {
				t.Errorf("gone = %v after %v, want true after 800ms", gone, time.Since(start))
			}
		})
	})
	t.Run("a client that sends more than is kept", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var gone bool
			c := talk(t, &Server{Handler: watching(&gone)})
			c.send(hello + chunked + "20000\r\n")
			c.send(string(make([]byte, 0x20000)) + "\r\n0\r\n\r\n")
			c.want("the first", answer)
			c.want("the second", "HTTP/1.1 200 OK\r\nContent-Length: 131081\r\n\r\nPOST / a "+string(make([]byte, 0x20000)))
			if gone {
				t.Error("gone was called")
			}
		})
	})
}

// TestHalfClose closes the client's half of a real connection behind a request: the
// answer comes all the same, unless the client resets the connection or the time that
// it is given is over.
func TestHalfClose(t *testing.T) {
	const ever = time.Hour
	for _, secure := range []bool{false, true} {
		for _, tt := range []struct {
			name    string
			timeout time.Duration
			// then is what the client does besides.
			then func(*net.TCPConn)
			gone bool
		}{
			{"and waits", ever, nil, false},
			{"and leaves by a reset", ever, func(c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() }, true},
			{"and says nothing for too long", 50 * time.Millisecond, nil, true},
		} {
			t.Run(fmt.Sprintf("%s, TLS=%t", tt.name, secure), func(t *testing.T) {
				client, server := tcpPair(t)
				under := client.(*net.TCPConn)
				if secure {
					client, server = tlsPair(t)
					under = client.(*tls.Conn).NetConn().(*net.TCPConn)
				}
				defer client.Close()
				watched, gone := make(chan struct{}), make(chan struct{})
				serveOn(t, server, &Server{HalfCloseTimeout: tt.timeout, Handler: func(x *Exchange) {
					stop := x.Watch(func() { close(gone) })
					close(watched)
					wait := 20 * time.Second
					if !tt.gone {
						wait = 300 * time.Millisecond
					}
					select {
					case <-gone:
						if !tt.gone {
							t.Error("gone was called")
						}
					case <-time.After(wait):
						if tt.gone {
							t.Error("gone was not called")
						}
					}
					stop()
					echo(x)
				}})
				if _, err := io.WriteString(client, hello); err != nil {
					t.Fatal(err)
				}
				if err := client.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
					t.Fatal(err)
				}
				<-watched
				if tt.then != nil {
					tt.then(under)
					return
				}
				got, err := io.ReadAll(client)
				if err != nil || !strings.HasSuffix(string(got), "GET / a ") {
					t.Errorf("got %q, %v, want the answer", got, err)
				}
			})
		}
	}
}

// tlsPair returns the two ends of a TLS connection over loopback TCP.
func tlsPair(t testing.TB) (client, server net.Conn) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"a"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	near, far := tcpPair(t)
	cert := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return tls.Client(near, &tls.Config{InsecureSkipVerify: true}), tls.Server(far, &tls.Config{Certificates: []tls.Certificate{cert}})
}

// tcpPair returns the two ends of a loopback TCP connection.
func tcpPair(t testing.TB) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return client, server
}

// A splitConn sends what is written in two halves, if split is set: it tells half
// when the first is out and waits there before the second.
type splitConn struct {
	net.Conn
	split atomic.Bool
	half  chan struct{}
}

func (c *splitConn) Write(p []byte) (int, error) {
	if !c.split.Load() {
		return c.Conn.Write(p)
	}
	n, err := c.Conn.Write(p[:len(p)/2])
	if err != nil {
		return n, err
	}
	c.half <- struct{}{}
	<-c.half
	m, err := c.Conn.Write(p[n:])
	return n + m, err
}

// TestWatchWithinRecord stops Watch when half of a TLS record has come: a read of
// crypto/tls that timed out there can be resumed.
func TestWatchWithinRecord(t *testing.T) {
	client, server := tlsPair(t)
	split := &splitConn{Conn: client.(*tls.Conn).NetConn(), half: make(chan struct{})}
	client = tls.Client(split, &tls.Config{InsecureSkipVerify: true})
	serveOn(t, server, &Server{Handler: func(x *Exchange) {
		if x.Request().Method == "GET" {
			<-split.half
			stop := x.Watch(func() { t.Error("gone was called") })
			stop()
			split.half <- struct{}{}
		}
		echo(x)
	}})
	if _, err := io.WriteString(client, hello[:10]); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(client, hello[10:]); err != nil {
		t.Fatal(err)
	}
	split.split.Store(true)
	if _, err := io.WriteString(client, "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	split.split.Store(false)
	got, err := io.ReadAll(client)
	if err != nil || !strings.Contains(string(got), "GET / a ") || !strings.Contains(string(got), "POST / a ") {
		t.Errorf("got %q, %v, want both answers", got, err)
	}
	_ = client.Close()
}

// TestWatchOverTLS stops Watch again and again between records, and lets a client
// leave.
func TestWatchOverTLS(t *testing.T) {
	client, server := tlsPair(t)
	defer client.Close()
	stopped := make(chan bool)
	var info outcome.Conn
	srv := &Server{HalfCloseTimeout: time.Millisecond, Handler: func(x *Exchange) {
		gone := make(chan struct{})
		left := sync.OnceFunc(func() { close(gone) }) // each Watch tells it
		for range 3 {
			stop := x.Watch(left)
			stop()
		}
		stop := x.Watch(left)
		if x.Request().Method == "GET" {
			stop()
			stopped <- true
			echo(x)
			return
		}
		<-gone
		stop()
	}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv.Serve(server, &info)
	}()
	res := NewClientConn(client, nil)
	for range 5 {
		req := newRequest("GET")
		req.Length = 3
		_ = res.Head(req)
		_ = res.Flush()
		<-stopped
		_ = res.Write([]byte("abc"))
		if err := res.End(nil); err != nil {
			t.Fatal(err)
		}
		if r, err := res.Response(nil); err != nil || r.Status != 200 {
			t.Fatalf("Response = %v, %v", r, err)
		}
		if got, err := readAll(res.Body()); err != nil || got != "GET / a abc" {
			t.Fatalf("body = %q, %v", got, err)
		}
		if !res.Close() {
			t.Fatal("Close() = false")
		}
	}
	// And a client that leaves is noticed through TLS.
	if _, err := io.WriteString(client, "PUT / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	_ = client.Close()
	<-done
}

func TestTunnel(t *testing.T) {
	const upgrade = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n"
	c := talk(t, &Server{Handler: func(x *Exchange) {
		if string(x.Request().Upgrade) != "websocket" {
			echo(x)
			return
		}
		res := &message.Response{Status: 101}
		res.Fields.Add(message.Upgrade, "websocket")
		if err := x.Head(res); err != nil {
			t.Error(err)
			return
		}
		tunnel, err := x.Tunnel()
		if err != nil {
			t.Error(err)
			return
		}
		defer tunnel.Close()
		_, _ = io.Copy(tunnel, tunnel)
	}})
	c.send(upgrade + "ahead ")
	c.want("101 and what came ahead", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nahead ")
	c.send("and more")
	c.want("an echo", "and more")
	_ = c.conn.(*memoryConn).CloseWrite()
	c.wantEnd("then", "")
}

// TestUpgradeIgnored lists requests that name a protocol but are no upgrade.
func TestUpgradeIgnored(t *testing.T) {
	for rule, fields := range map[string]string{
		"not named by Connection": "Upgrade: websocket\r\n",
		"two protocols":           "Connection: upgrade\r\nUpgrade: a, b\r\n",
		"two lines":               "Connection: upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n",
		"h2c":                     "Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n",
		"with a body":             "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n",
	} {
		t.Run(rule, func(t *testing.T) {
			c := talk(t, &Server{Handler: func(x *Exchange) {
				if u := x.Request().Upgrade; u != nil {
					t.Errorf("Upgrade = %q, want none", u)
				}
				echo(x)
			}})
			c.send("GET / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\nabc")
			c.want("an ordinary answer", "HTTP/1.1 200 OK\r\n")
		})
	}
}
