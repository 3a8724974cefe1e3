//go:build linux

package main

// Hosts of the two certificates. wrk resolves the name that it sends as SNI, so
// the usual one is one that every machine knows.
const (
	hostECDSA = "localhost"
	hostRSA   = "rsa.localhost"
)

// A Scenario is one comparison.
type Scenario struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	// Bar is the ratio to reach; 0: none was set.
	Bar float64 `json:"bar,omitempty"`
	// Rounds, if more than those of the flag.
	Rounds int `json:"-"`

	tool      tool
	tls       bool
	h2        bool
	path      string // of the backend
	upload    bool
	conns     int
	streams   int  // per connection, HTTP/2
	accessLog bool // of the proxies
	allCores  bool
	rate      float64 // requests per second of the open loop
	share     float64 // of the best closed-loop rate of allCores, instead of rate
	handshake handshake
}

// tool is what makes the load.
type tool uint8

const (
	wrk tool = iota
	h2load
	openLoop
	handshakes
	idle
)

// handshake says which ones the tool handshakes makes.
type handshake struct {
	host    string
	tls12   bool
	resumed bool
}

var scenarios = []Scenario{
	{Name: "http-h1-1k", Title: "HTTP/1.1 plain, 1 KiB, 64 connections", Bar: 1.0, tool: wrk, path: "/1k", conns: 64},
	{Name: "https-h1-1k", Title: "HTTPS HTTP/1.1, 1 KiB, 64 connections", Bar: 0.80, tool: wrk, tls: true, path: "/1k", conns: 64},
	{Name: "https-h1-1k-log", Title: "the same with access logs", tool: wrk, tls: true, path: "/1k", conns: 64, accessLog: true},
	{Name: "https-h1-open", Title: "HTTPS HTTP/1.1, 1 KiB, open loop 2,000/s, 32 connections", Bar: 0.85, Rounds: 5, tool: openLoop, tls: true, path: "/1k", conns: 32, rate: 2000},
	{Name: "https-h2-1k", Title: "HTTPS HTTP/2, 1 KiB, 16 x 16 streams", Bar: 0.80, tool: h2load, tls: true, h2: true, path: "/1k", conns: 16, streams: 16},
	{Name: "https-h1-100k", Title: "HTTPS HTTP/1.1, 100 KiB", Bar: 1.0, tool: wrk, tls: true, path: "/100k", conns: 32},
	{Name: "https-h1-1m", Title: "HTTPS HTTP/1.1, 1 MiB", Bar: 1.0, tool: wrk, tls: true, path: "/1m", conns: 16},
	{Name: "http-h1-1m", Title: "HTTP/1.1 plain, 1 MiB", tool: wrk, path: "/1m", conns: 16},
	{Name: "https-h2-100k", Title: "HTTPS HTTP/2, 100 KiB", Bar: 1.0, tool: h2load, tls: true, h2: true, path: "/100k", conns: 16, streams: 2},
	{Name: "https-h2-1m", Title: "HTTPS HTTP/2, 1 MiB", Bar: 1.0, tool: h2load, tls: true, h2: true, path: "/1m", conns: 8, streams: 2},
	{Name: "https-h1-upload", Title: "HTTPS HTTP/1.1, POST 64 KiB", Bar: 1.0, tool: wrk, tls: true, path: "/upload", conns: 32, upload: true},
	{Name: "https-h2-upload", Title: "HTTPS HTTP/2, POST 64 KiB", Bar: 1.0, tool: h2load, tls: true, h2: true, path: "/upload", conns: 16, streams: 2, upload: true},

	{Name: "tls13-full-ecdsa", Title: "full TLS 1.3, ECDSA P-256, with one request", Bar: 0.90, tool: handshakes, tls: true, path: "/1k", conns: 8, handshake: handshake{host: hostECDSA}},
	{Name: "tls13-full-rsa", Title: "full TLS 1.3, RSA-2048, with one request", Bar: 1.9, tool: handshakes, tls: true, path: "/1k", conns: 8, handshake: handshake{host: hostRSA}},
	{Name: "tls12-full-ecdsa", Title: "full TLS 1.2, ECDSA P-256, with one request", Bar: 0.90, tool: handshakes, tls: true, path: "/1k", conns: 8, handshake: handshake{host: hostECDSA, tls12: true}},
	{Name: "tls12-full-rsa", Title: "full TLS 1.2, RSA-2048, with one request", tool: handshakes, tls: true, path: "/1k", conns: 8, handshake: handshake{host: hostRSA, tls12: true}},
	{Name: "tls13-resumed-ecdsa", Title: "resumed TLS 1.3, ECDSA host, with one request", Bar: 0.90, tool: handshakes, tls: true, path: "/1k", conns: 8, handshake: handshake{host: hostECDSA, resumed: true}},
	{Name: "tls13-resumed-rsa", Title: "resumed TLS 1.3, RSA host, with one request", Bar: 0.90, tool: handshakes, tls: true, path: "/1k", conns: 8, handshake: handshake{host: hostRSA, resumed: true}},
	{Name: "tls12-resumed-ecdsa", Title: "resumed TLS 1.2, ECDSA host, with one request", tool: handshakes, tls: true, path: "/1k", conns: 8, handshake: handshake{host: hostECDSA, tls12: true, resumed: true}},

	{Name: "idle-h1", Title: "idle TLS connections, HTTP/1.1: KiB each", Bar: 1.0, tool: idle, tls: true, path: "/1k"},
	{Name: "idle-h2", Title: "idle TLS connections, HTTP/2: KiB each", Bar: 1.0, tool: idle, tls: true, h2: true, path: "/1k"},

	{Name: "all-https-h1-1k", Title: "all cores, HTTPS HTTP/1.1, 1 KiB, 1,000 connections, saturated", Bar: 1.0, tool: wrk, tls: true, path: "/1k", conns: 1000, allCores: true},
	{Name: "all-https-h1-1k-25", Title: "the same, open loop at 25 % of the peers' best", Bar: 1.0, tool: openLoop, tls: true, path: "/1k", conns: 1000, allCores: true, share: 0.25},
}
