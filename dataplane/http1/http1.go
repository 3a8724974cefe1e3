// Package http1 is HTTP/1.1 on a connection, both sides, without net/http.
//
// A [Server] runs client connections and calls its Handler once for each
// [Exchange], malformed heads included. A [ClientConn] carries one attempt after
// another to an endpoint. Heads and bodies are those of package message.
//
// # Shape
//
// One goroutine runs a connection. A head is parsed in place, in one pass, over
// a pooled buffer, as its lines arrive. What is sent is gathered in another and
// leaves in one write. An idle connection holds neither. Per request over plain
// TCP nothing is allocated.
//
//	server.go    connections: accept to close, keep-alive, shutdown
//	exchange.go  one request and its answer, as the proxy sees it
//	respond.go   the answer: framing, status line, interim responses
//	watch.go     reading ahead; tunnel.go: the connection after 101
//	client.go    one attempt at an endpoint; receive.go: its answer
//	request.go   the request head and what makes it ambiguous
//	target.go    request target and Host
//	response.go  the response head
//	field.go     field lines, common to both; lines.go: finding them
//	body.go      message bodies; chunked.go: their chunks and trailers
//	reader.go    buffered input, deadlines; writer.go: output; buffer.go: the pool
//
// # Strictness
//
// Whatever two parsers could read differently is refused: RFC 9112 §11.2 lists
// what happens otherwise. Leniency that the RFC allows ("MAY") is not used.
//
// # Deadlines
//
// Setting a deadline costs a timer change. So the one in force is kept while it
// is near enough: reading may wake up early, sees that it has time left, and goes
// on; writing may end up to an eighth late.
package http1
