//go:build linux

// Scale measures `cardea serve` with very many hosts, each with a certificate of
// its own: how long until all are servable, what that takes of memory, what a
// handshake costs compared with a table of one host, and how soon and at what cost
// a change is in force. `make scale` runs it; docs/performance.md has the figures.
//
// It starts and ends everything itself, listens on 127.0.0.1 alone and writes its
// folders to /dev/shm. Figures are worth keeping only from an otherwise idle
// machine; CPU time suffers less from others than time does, so each has both
// where that makes sense.
package main
