package proxy

import (
	"io"
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// Downstream is the client's side of one exchange, as the protocol engines give
// it: http1's and http2's exchanges are Downstreams. It belongs to the goroutine
// that runs [Proxy.Serve]; Body may be read by one other, and Interrupt of it
// called from any.
type Downstream interface {
	// Conn is the connection that carries the exchange.
	Conn() *outcome.Conn
	// Request is the head. Fields and views stay valid until Serve returns.
	Request() *message.Request
	// Refusal is set when the head was not acceptable; Request then holds only
	// what could be read of it. The exchange must be answered with the refusal's
	// status; the engine closes the connection after it.
	Refusal() *outcome.Error
	// Body is never nil. Its errors are *outcome.Error.
	Body() message.Body
	// Limit sets the limits of this exchange: bytes of the request body (0: none)
	// and the time without progress while the body is read or the response is
	// sent (0: the engine's default).
	Limit(maxBody int64, body, send time.Duration)

	// Inform sends an interim response (1xx) at once.
	Inform(res *message.Response) error
	// Head queues the response head. The engine frames the body by res.Length and
	// the protocol version; it adds Date, Content-Length, Transfer-Encoding and
	// Connection itself, and nothing else.
	Head(res *message.Response) error
	// Write queues body bytes; they are sent when a buffer is full, by Flush, or
	// by End. Head and first bytes go out in one write.
	Write(p []byte) error
	Flush() error
	// End completes the response and sends all of it. trailers may be nil; they
	// are sent where the protocol version can carry them.
	End(trailers *message.Fields) error
	// Abort cuts the response so that the client can tell it is incomplete. It
	// does nothing after End.
	Abort()
	// Cancel is Abort with the code CANCEL where the protocol version has one (h2):
	// it says that the backend no longer wants the exchange, and may be called
	// without a head.
	Cancel()
	// Close makes this exchange the last one of its connection (h1: Connection:
	// close). Call it before Head.
	Close()

	// Retire asks the client to use another connection for all that follows: h1 as
	// Close, h2 by GOAWAY behind which the streams that are open go on. Call it
	// before Head.
	Retire()

	// Watch reads ahead, while nobody reads the body, until stop is called; it
	// calls gone, from its own goroutine and at most once, when the client leaves.
	// stop waits for that goroutine. Bytes read ahead are kept.
	Watch(gone func()) (stop func())
	// Tunnel hands over the connection after Head was called with 101 and sends
	// that head. Bytes already read are the first that Read returns.
	Tunnel() (io.ReadWriteCloser, error)
}
