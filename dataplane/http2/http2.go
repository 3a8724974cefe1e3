// Package http2 is HTTP/2 on a connection, without net/http.
//
// A [Server] runs client connections and calls its Handler once for each
// [Exchange], refused heads included. Heads and bodies are those of package
// message, the same as HTTP/1.1 would have brought. A [ClientConn] carries many
// attempts to an endpoint at one time, each on a [ClientStream].
//
// # Shape
//
// One goroutine reads the frames of a connection and acts on them; DATA goes
// straight to the body that it belongs to. Each exchange runs on a goroutine of its
// own, which is used again. What is to be sent is appended, as finished frames, to
// one queue; one writer takes all that is there, so that streams that are ready at
// the same time share a write and a TLS record. Where several wait for the peer,
// the more urgent goes first (RFC 9218), and those that are equal take turns. A
// connection without streams holds neither buffers nor goroutines other than the
// reader. One mutex guards what the goroutines share; nobody waits or does I/O
// under it.
//
//	conn.go     what both sides share: reading, keep-alive, the end
//	frames.go   the frames that come, and what they may be
//	stream.go   sending on a stream; flow control both ways
//	body.go     bodies that come; their memory and what gives leave for more
//	queue.go    what waits to be sent; writer.go: sending it
//	encode.go   header blocks that are sent (HPACK); the decoder is x/net's
//	limits.go   what a peer may do
//	server.go   client connections: streams, shutdown
//	exchange.go one request and its answer, as the proxy sees it
//	request.go  the request head; respond.go: the answer; tunnel.go: websockets
//	client.go   a connection to an endpoint; client_stream.go: one attempt
//	client_head.go    its request head and the heads that answer it
//	client_tunnel.go  upgrades by extended CONNECT
//	frame.go    the layout of frames; reader.go: buffered input; buffer.go: the pool
//
// # Frames
//
// Frames are parsed here and not by x/net's Framer: it would bring net/http with
// it to all that use this package, allocates each frame, copies DATA once more, and
// keeps its buffer while the connection is idle. Tests use it as the oracle.
//
// # Errors
//
// A request that RFC 9113 calls malformed is answered with RST_STREAM of
// PROTOCOL_ERROR; what is refused for another reason, a host that is not one or a
// head that is too large, gets its status. A violation of the framing layer ends
// the connection with GOAWAY. The limits that only a hostile peer meets are in
// limits.go; each has a reason.
package http2
