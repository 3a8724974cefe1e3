// Package upstream holds the live side of the pools: their endpoints, the idle
// connections to them, and the one dialer that reaches them.
//
// A [Set] keeps every [Pool] of the Spec in force by its ID. A publish calls
// [Set.Prepare] before the table swap, so that each route of the new table finds
// its pool with its endpoints, and [Set.Retain] after it, to drop the pools that
// nothing names any more. Configuration is replaced, state is kept: an endpoint
// that is in the old and in the new list keeps its idle connections and counters,
// and no other pool is touched.
//
// A request holds a *Pool, picks an [Endpoint], gets a [Conn], makes one attempt
// over its [Stream], and calls [Conn.Done]:
//
//	ep, err := pool.Pick(ctx, tried)
//	c, err := pool.Get(ctx, ep, policy.ConnectTimeout)
//	defer c.Done()
//	c.Head(req) ...
//
// # Connections
//
// Idle connections are kept per endpoint as a stack: the one used last is used
// next, so that the surplus of a burst ages and is closed. Before a kept
// connection is handed out the socket is looked at without waiting. A peer that
// has closed it, or has sent bytes that nobody asked for, is found there; the
// connection is dropped, counted, and the next one tried. Between the look and
// the write the peer may still close: that is the error of the attempt with
// [outcome.RetryIfReused], and the retry may use [Pool.Dial] to be sure of a new
// connection. It is made rare by heeding the endpoint's Keep-Alive field: a
// connection that the endpoint is about to close is not used.
//
// To an endpoint of a pool that speaks HTTP/2 there are few connections, and each
// carries many streams: an attempt takes a stream of one that is in use and has
// room, then of an idle one. If there is none, one attempt dials and the others
// wait for that dial. A connection that is closing (GOAWAY, an error, the endpoint
// gone) takes no more streams and is closed after the last.
//
// A connection is reused for its own endpoint of its own pool only, and the pool's
// ID holds everything that makes connections not interchangeable.
//
// # Addresses
//
// Every address is checked before each dial, whatever list or DNS answer it came
// from: loopback, unspecified, link-local, multicast, cloud metadata and this
// process's own listeners are refused, also when wrapped in an IPv6 form. No name
// is resolved between the check and the dial.
//
// # Concurrency
//
// Everything is safe for concurrent use but a Conn, which belongs to who got it.
// Pick takes no lock. Get and Done take the endpoint's mutex for the length of a
// push or a pop; no lock is held across I/O. A Set runs one goroutine that closes
// idle connections, which sleeps while there are none, and one for each pool with
// an ExternalName; [Set.Close] waits for all of them.
//
// # Limits
//
// Idle connections: [Config.MaxIdlePerEndpoint] and [Config.MaxIdle]. Dials at one
// time: [Config.MaxDials] an endpoint; more wait within their connect timeout, so
// that an endpoint that drops packets holds a bounded number of sockets. Addresses
// of a name: 128. The number of busy connections is not bounded here: it is that
// of the requests.
package upstream
