package upstream

import (
	"io"
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
)

// A Stream carries one attempt to an endpoint: http1's and http2's client sides
// are Streams. The sending half (Head to End) and the receiving half (Response
// and Body) may be used by two goroutines at the same time; Interrupt by any.
// Its errors are *outcome.Error with Side Upstream and a Retry verdict.
type Stream interface {
	// Head queues the request head. The stream frames the body by req.Length and
	// adds Content-Length or Transfer-Encoding itself; it leaves every other
	// field as it is.
	Head(req *message.Request) error
	// Write queues body bytes; sent when a buffer is full, by Flush or by End.
	// Head and first bytes go out in one write.
	Write(p []byte) error
	Flush() error
	// End completes the request and sends all of it. trailers may be nil.
	End(trailers *message.Fields) error

	// Timeouts set the time without progress, when receiving and when sending.
	// 0 means none.
	Timeouts(read, send time.Duration)
	// Response waits for the next response head, interim ones (1xx) included;
	// call it again after an interim one. It is valid until Close. waiting, if not
	// nil, is called once, from this goroutine, when no head has arrived for
	// 200 ms; and once more, from the goroutine that reads the body, when nothing
	// of that has come for as long.
	Response(waiting func()) (*message.Response, error)
	// Body of the final response.
	Body() message.Body
	// Tunnel hands over the connection after a 101. Close of the stream closes it.
	Tunnel() (io.ReadWriteCloser, error)

	// Interrupt ends every call that waits, and fails later ones, with an error
	// of reason client_closed. The connection is not kept.
	Interrupt()
	// Close ends the attempt. It reports whether the connection may carry another
	// one: the exchange is complete in both directions, nothing was left unread,
	// and neither side asked to close.
	Close() (reusable bool)
}
