//go:build linux

package main

import (
	"bytes"
	"flag"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
)

// backend answers with as little work as possible: a goroutine per connection,
// answers that are ready, no parsing beyond the target and Content-Length. It
// prints its address and serves until it is killed.
func backend(args []string) error {
	f := flag.NewFlagSet("backend", flag.ContinueOnError)
	if err := f.Parse(args); err != nil {
		return err
	}
	debug.SetGCPercent(400)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	b := &answers{
		byPath:  map[string][]byte{},
		missing: []byte("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
	}
	for path, size := range sizes {
		b.byPath[path] = answer(size)
	}
	for {
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		go b.serve(c)
	}
}

// sizes are those of the bodies, by path.
var sizes = map[string]int{
	"/1k":     1 << 10,
	"/100k":   100 << 10,
	"/1m":     1 << 20,
	"/upload": 2,
}

func answer(size int) []byte {
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 12:00:00 GMT\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n", size)
	return append([]byte(head), bytes.Repeat([]byte("d"), size)...)
}

type answers struct {
	byPath  map[string][]byte
	missing []byte
	count   atomic.Int64
}

// countPath is answered with the number of requests so far.
const countPath = "/-/count"

func (b *answers) serve(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 4096)
	n := 0
	for {
		end := bytes.Index(buf[:n], []byte("\r\n\r\n"))
		for end < 0 {
			if n == len(buf) {
				return
			}
			m, err := c.Read(buf[n:])
			if err != nil {
				return
			}
			n += m
			end = bytes.Index(buf[:n], []byte("\r\n\r\n"))
		}
		head := buf[:end+4]
		method, path := requestLine(head)
		reply, ok := b.byPath[string(path)]
		switch {
		case string(path) == countPath:
			text := strconv.FormatInt(b.count.Load(), 10)
			reply = fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
		case !ok:
			reply = b.missing
		default:
			b.count.Add(1)
		}
		length := 0
		if string(method) == "POST" {
			if length, ok = contentLength(head); !ok {
				return
			}
		}
		n = copy(buf, buf[end+4:n])
		if length > 0 {
			if len(buf) < 256<<10 {
				buf = append(make([]byte, 0, 256<<10), buf[:n]...)
				buf = buf[:cap(buf)]
			}
			for n < length {
				m, err := c.Read(buf)
				if err != nil {
					return
				}
				n += m
			}
			n = 0
		}
		if _, err := c.Write(reply); err != nil {
			return
		}
	}
}

func requestLine(head []byte) (method, path []byte) {
	line, _, _ := bytes.Cut(head, []byte("\r\n"))
	method, rest, _ := bytes.Cut(line, []byte(" "))
	path, _, _ = bytes.Cut(rest, []byte(" "))
	return method, path
}

// contentLength reads the field; a body without it is none that the backend takes.
func contentLength(head []byte) (int, bool) {
	for line := range bytes.SplitSeq(head, []byte("\r\n")) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if strings.EqualFold(string(name), "Content-Length") {
			n, err := strconv.Atoi(string(bytes.TrimSpace(value)))
			return n, err == nil
		}
	}
	return 0, false
}

// served asks the backend at addr how many requests it has answered.
func served(addr string) (int64, error) {
	res, err := http.Get("http://" + addr + countPath)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	var n int64
	_, err = fmt.Fscan(res.Body, &n)
	return n, err
}
