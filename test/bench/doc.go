//go:build linux

// Bench compares Cardea with Debian's nginx and HAProxy: the same job, the same
// certificate, the same cipher suite, one backend, interleaved rounds.
//
// Each proxy runs on one core, the load generator and the backend on the others;
// the scenarios whose name begins with "all" let everybody use every core. What
// is compared is the CPU time per request (user and system time of the proxy's
// process tree), in a window that leaves out the start and the end of the load.
// Requests are counted by the backend, so the same count holds for every load
// generator; the generator's own count of errors and of answers other than 2xx
// must be zero.
//
// Everything listens on 127.0.0.1, is started by this program and ended by it.
// Run it with `make bench`; docs/performance.md says how to read the figures.
//
// The program is also its own backend and load generator (subcommands "backend"
// and "load"), started as processes of their own so that they can be pinned.
package main
