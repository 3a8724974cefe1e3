// Package scan has the built program judged by scanners that others wrote for TLS
// servers: testssl.sh and sslscan. Its tests need both (Debian has packages of those
// names) and take a minute, so they have the build tag "scan"; `make scan` runs them,
// and so does `make e2e`. Everything is on loopback, and nothing is asked outside.
package scan
