package outcome

import "fmt"

// Side says where an error arose.
type Side uint8

// The sides of an exchange.
const (
	Internal Side = iota
	Downstream
	Upstream
)

// String returns "internal", "downstream" or "upstream".
func (s Side) String() string {
	switch s {
	case Downstream:
		return "downstream"
	case Upstream:
		return "upstream"
	}
	return "internal"
}

// Retry says whether another attempt could be made after an error, as far as
// the one who saw it can tell. Whether it is made is the proxy's decision.
type Retry uint8

const (
	// RetryNo: the upstream may have acted on the request.
	RetryNo Retry = iota
	// RetryIfReused: a kept connection was closed before any byte of a response;
	// the upstream most likely never saw the request.
	RetryIfReused
	// RetryYes: not one byte of the request was sent.
	RetryYes
)

// An Error ends an exchange or an attempt.
type Error struct {
	Side   Side
	Reason Reason
	Retry  Retry
	// Status is what the client gets, 0 for the reason's own ([Reason.Status]).
	Status int
	// Detail says what was wanted and what was found. It may be sent to the
	// client in a 4xx body, so it holds nothing internal.
	Detail string
	// Err is the cause; it is logged and never sent.
	Err error
}

// Error returns "side reason: detail: cause".
func (e *Error) Error() string {
	s := fmt.Sprintf("%s %s", e.Side, e.Reason)
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
