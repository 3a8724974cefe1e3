// Package soak runs the built program as a process under everything at once:
// every protocol, large and small bodies, tunnels and streams, clients that are
// slow or leave, backends that are killed and come back, routes and certificates
// that change. Each exchange of each client is held against the record that
// Cardea's access log has of it, and the process is watched for what it does not
// give back. Single long transfers go through the same process.
//
// `make soak` runs it, on Linux, with the build tag soak; docs/performance.md says how
// to read the table.
package soak
