//go:build linux

// Scale measures Cardea with very many hosts, each with a certificate of its own:
// how long until all are servable, what that takes of memory, what a handshake
// costs compared with a table of one host, and how soon and at what cost a change
// is in force. `make scale` runs it; docs/performance.md has the figures.
//
// The objects are in a folder (-mode files) or in a real API server with its etcd
// (-mode controller), for which it enters a network namespace of its own. It starts
// and ends everything itself and writes its folders to /dev/shm. Figures are worth
// keeping only from an otherwise idle machine; CPU time suffers less from others
// than time does, so each has both where that makes sense.
package main
