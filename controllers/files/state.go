package files

import "time"

// A state is what is known of a set. It is a pure state machine: it does no I/O
// and has no clock.
type state struct {
	// loaded is the content in service, refused the one that was told to be bad.
	loaded, refused sum
	// seen is the content that was seen last, and since when.
	seen  sum
	since time.Time
}

// see takes in the content that is there now. It returns whether to try it, and
// else, if it has not settled, how long to wait before the next look.
func (s *state) see(now sum, at time.Time) (try bool, wait time.Duration) {
	if now != s.seen {
		s.seen, s.since = now, at
	}
	switch {
	case now == s.loaded:
		s.back(now)
		return false, 0
	case now == s.refused:
		return false, 0
	}
	if left := settle - at.Sub(s.since); left > 0 {
		return false, left
	}
	return true, 0
}

// took says that content is in service.
func (s *state) took(now sum) {
	s.loaded = now
	s.back(now)
}

// back says that the content in service is the one that is there: the next one
// that is refused is told, even if it was told before.
func (s *state) back(now sum) { s.seen, s.refused = now, sum{} }
