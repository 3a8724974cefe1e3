//go:build soak && linux

package soak

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// The environment tells the test's binary to be a backend: on which address, and
// whether what it leaves open is reset when it is killed.
const (
	backendEnv = "SOAK_BACKEND"
	resetEnv   = "SOAK_RESET"
)

// backend serves HTTP/1.1 and h2c on addr, prints the address, and ends when its
// standard input does, at the latest.
func backend(addr string, reset bool) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	s := &http.Server{
		Handler: http.HandlerFunc(answer), Protocols: new(http.Protocols),
		ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute,
	}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	if reset {
		s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
			_ = c.(*net.TCPConn).SetLinger(0) // the kernel resets it if the process dies
			return ctx
		}
	}
	return s.Serve(ln)
}

var (
	kilobyte = pattern(1 << 10)
	megabyte = pattern(1 << 20)
)

// pattern returns n bytes of which no two blocks are the same.
func pattern(n int64) []byte {
	b := make([]byte, n)
	_, _ = io.ReadFull(newFlow(n), b)
	return b
}

// answer does what the last element of the path says.
func answer(w http.ResponseWriter, r *http.Request) {
	switch path.Base(r.URL.Path) {
	case "1k":
		_, _ = w.Write(kilobyte)
	case "1m":
		w.Header().Set("Content-Length", strconv.Itoa(len(megabyte)))
		_, _ = w.Write(megabyte)
	case "upload":
		sum := crc32.New(castagnoli)
		n, err := io.Copy(sum, r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintf(w, "%d %08x", n, sum.Sum32())
	case "wait":
		select {
		case <-r.Context().Done():
		case <-time.After(2 * time.Second):
		}
	case "events":
		events(w, r, time.NewTicker(40*time.Millisecond))
	case "steps":
		steps(w, r)
	case "ws":
		websocket(w, r)
	case "call":
		call(w, r)
	case "down":
		n, _ := strconv.ParseInt(r.URL.Query().Get("size"), 10, 64)
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		sent.Store(0)
		_, _ = io.CopyBuffer(struct{ io.Writer }{w}, io.TeeReader(newFlow(n), &sent), make([]byte, 256<<10))
	case "sent":
		fmt.Fprint(w, sent.Load())
	case "up":
		sum := sha256.New()
		n, err := io.CopyBuffer(sum, r.Body, make([]byte, 256<<10))
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintf(w, "%d %s", n, hex.EncodeToString(sum.Sum(nil)))
	default:
		http.NotFound(w, r)
	}
}

// sent counts the bytes of the last large answer.
var sent counter

type counter struct{ atomic.Int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.Add(int64(len(p)))
	return len(p), nil
}

const eventCount = 10

// events sends server-sent events, one with each tick.
func events(w http.ResponseWriter, r *http.Request, tick *time.Ticker) {
	defer tick.Stop()
	w.Header().Set("Content-Type", "text/event-stream")
	for i := range eventCount {
		fmt.Fprintf(w, "id: %d\ndata: event %d\n\n", i, i)
		if http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}

var stepped = make(chan struct{})

// steps sends an event, and the next one only when a POST to the same place says
// that the one before it has arrived.
func steps(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		stepped <- struct{}{}
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Backend", r.Context().Value(http.LocalAddrContextKey).(net.Addr).String())
	for i := range eventCount {
		fmt.Fprintf(w, "id: %d\ndata: event %d\n\n", i, i)
		if http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-stepped:
		}
	}
}

// websocket is RFC 6455 with binary messages of one frame, which it sends back.
func websocket(w http.ResponseWriter, r *http.Request) {
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	defer func() { _ = c.(*net.TCPConn).SetLinger(-1) }() // an end of ours is an orderly one
	fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		accepted(r.Header.Get("Sec-WebSocket-Key")))
	for rw.Flush() == nil {
		message, err := readFrame(rw)
		if err != nil {
			return
		}
		_, _ = rw.Write(frame(message, nil))
	}
}

// accepted is the answer to a key: RFC 6455 §4.2.2.
func accepted(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// call answers a gRPC call of any method: each message is sent back, the status is
// in the trailers.
func call(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status")
	flush := http.NewResponseController(w).Flush
	for _ = flush(); ; _ = flush() {
		message, err := readMessage(r.Body)
		if err != nil {
			break
		}
		_, _ = w.Write(message)
	}
	status := "0"
	if !strings.Contains(r.Header.Get("Te"), "trailers") {
		status = "13" // INTERNAL: a proxy in between cannot carry trailers
	}
	w.Header().Set("Grpc-Status", status)
}

// newFlow returns n bytes that are a function of n alone. Every 4 KiB have their
// number in front, so that nothing can be lost, doubled or swapped unseen.
func newFlow(n int64) io.Reader {
	return &flow{left: n, block: bytes.Repeat([]byte("0123456789abcdef"), 256)}
}

type flow struct {
	left, number int64
	block        []byte
	rest         []byte
}

func (f *flow) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if len(f.rest) == 0 {
			if f.left == 0 {
				return n, io.EOF
			}
			copy(f.block, fmt.Appendf(nil, "%016x", f.number))
			f.rest = f.block[:min(f.left, int64(len(f.block)))]
			f.number++
			f.left -= int64(len(f.rest))
		}
		c := copy(p[n:], f.rest)
		f.rest = f.rest[c:]
		n += c
	}
	return n, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)
