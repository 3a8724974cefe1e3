// Package socket reads and writes TCP connections at less cost than package net.
//
// Every system call of package net tells Go's scheduler that it begins and that it
// has ended, because it might block. A call on a socket of package net cannot: the
// descriptor is non-blocking, and waiting is the business of the poller. A [Conn]
// therefore makes the same calls without telling. That saves some 50 ns per call;
// above all it does not wake the runtime's monitor thread each time that an idle
// process gets something to do, which on a lightly loaded proxy costs a futex call
// and two sleeps of that thread per request.
//
// Now and then an ordinary call is made all the same: see [tellEvery].
//
// Only Linux has this; elsewhere, and where the race detector watches (it learns
// from package net's calls what happened before what), [Wrap] changes nothing.
package socket
