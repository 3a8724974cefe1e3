package cli

import "syscall"

// maxConns is the most connections that a listener has open at once: what the
// flag says, else half of the files that the process may open, because a
// connection may need a second one, to an endpoint. Without it, accept would fail
// where the limit ends, and the requests under way find no file for their
// endpoint.
func (s *settings) maxConns() int {
	if s.maxConnections > 0 {
		return s.maxConnections
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	const most = 1 << 30 // "unlimited" is larger than an int of 32 bits
	return int(min(limit.Cur/2, most))
}
