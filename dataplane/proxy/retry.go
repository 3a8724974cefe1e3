package proxy

import "github.com/cardea-dev/cardea/dataplane/outcome"

// facts are everything on which a retry is decided.
type facts struct {
	// Err ended the attempt.
	Err *outcome.Error
	// Attempts made so far, and the most that the policy allows.
	Attempts, Tries int
	// Answered: part of a response, an interim one included, went to the client.
	Answered bool
	// ClientGone: nobody waits for the answer.
	ClientGone bool
	// Reused: the attempt went over a kept connection.
	Reused bool
	// Idempotent: the method is, RFC 9110 §9.2.2.
	Idempotent bool
	// Replayable: all that was read of the body is kept.
	Replayable bool
}

// retry decides whether another attempt follows a failed one, and says why.
func retry(f facts) (again bool, why string) {
	switch {
	case f.Err.Side != outcome.Upstream:
		return false, "the upstream is not at fault"
	case f.ClientGone:
		return false, "the client is gone"
	case f.Answered:
		// The client would get parts of two answers.
		return false, "part of a response was sent"
	case f.Attempts >= f.Tries:
		return false, "no tries left"
	case !f.Replayable:
		return false, "the body cannot be sent again"
	case f.Err.Retry == outcome.RetryYes:
		return true, "nothing was sent"
	case f.Err.Retry != outcome.RetryIfReused:
		return false, "the upstream may have acted on the request"
	case !f.Reused:
		return false, "the connection was new: the upstream closed it because of the request"
	case !f.Idempotent:
		// RFC 9110 §9.2.2: "A proxy MUST NOT automatically retry non-idempotent
		// requests."
		return false, "the method is not idempotent"
	}
	return true, "a kept connection was closed before any answer"
}

// facts collects what retry decides on, after release of the attempt.
func (x *Exchange) facts(err *outcome.Error) facts {
	return facts{
		Err:        err,
		Attempts:   x.out.Attempts,
		Tries:      x.plan.policy.Tries,
		Answered:   x.answered,
		ClientGone: x.gone.Load(),
		Reused:     x.out.Reused,
		Idempotent: idempotent(x.in.Method),
		Replayable: x.replayable(),
	}
}

// idempotent reports whether RFC 9110 §9.2.2 counts method among the idempotent
// ones.
func idempotent(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "PUT", "DELETE":
		return true
	}
	return false
}
