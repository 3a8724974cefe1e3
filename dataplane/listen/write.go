package listen

import "net"

// maxRecord is how much a TLS record holds (RFC 8446 §5.1).
const maxRecord = 16 << 10

// Write writes what fills several records so that they go through the network
// stack together. Each record is a system call all the same: crypto/tls makes one
// for each, and to gather them first would be one more copy.
func (s *secured) Write(p []byte) (int, error) {
	whole := 0
	if len(p) > maxRecord {
		whole = (len(p) - 1) / maxRecord * maxRecord
		if n, err := s.writeMore(p[:whole]); err != nil {
			return n, err
		}
	}
	n, err := s.Conn.Write(p[whole:])
	return whole + n, err
}

// WriteBuffers is net.Buffers.WriteTo of v, each slice in records of its own.
func (s *secured) WriteBuffers(v *net.Buffers) (int64, error) {
	var sum int64
	for len(*v) > 0 {
		p := (*v)[0]
		write := s.Write
		if len(*v) > 1 {
			write = s.writeMore
		}
		n, err := write(p)
		sum += int64(n)
		if err != nil {
			(*v)[0] = p[n:]
			return sum, err
		}
		(*v)[0] = nil
		*v = (*v)[1:]
	}
	return sum, nil
}

// writeMore is Write for what is followed by more. An alert that another goroutine
// sends meanwhile is followed by it, too, or by the end of the connection.
func (s *secured) writeMore(p []byte) (int, error) {
	s.c.more.Store(true)
	defer s.c.more.Store(false)
	return s.Conn.Write(p)
}
