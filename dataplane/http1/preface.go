package http1

import (
	"bytes"
	"net"
	"time"
)

// http2Preface is what a client of HTTP/2 sends first (RFC 9113 §3.4). As HTTP/1
// it would be a request of a version that is not served.
var http2Preface = []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

// startsHTTP2 reports whether the connection starts with the preface, and waits
// for the rest of it as long as it may. Over TLS the client would have said so by
// ALPN.
func (c *serverConn) startsHTTP2() bool {
	if c.server.HTTP2 == nil || c.requests > 0 || c.info.TLS != nil {
		return false
	}
	var until time.Time
	for {
		b := c.rd.unread()
		n := min(len(b), len(http2Preface))
		if !bytes.Equal(b[:n], http2Preface[:n]) {
			return false
		}
		if n == len(http2Preface) {
			return true
		}
		now := time.Now()
		if until.IsZero() {
			until = now.Add(or(c.server.HeadTimeout, DefaultHeadTimeout))
		}
		if c.rd.fill(now, until, -1) != nil {
			return false
		}
	}
}

// handOver gives the connection to the engine of HTTP/2 and returns when that is
// done with it.
func (c *serverConn) handOver() {
	ahead := bytes.Clone(c.rd.unread())
	c.release()
	_ = c.conn.SetDeadline(time.Time{})
	c.server.HTTP2(&rewound{Conn: c.conn, ahead: ahead}, c.info)
}

// A rewound is a connection whose first bytes were read and are read once more.
type rewound struct {
	net.Conn
	ahead []byte
}

// Read implements net.Conn.
func (r *rewound) Read(p []byte) (int, error) {
	if len(r.ahead) == 0 {
		return r.Conn.Read(p)
	}
	n := copy(p, r.ahead)
	if r.ahead = r.ahead[n:]; len(r.ahead) == 0 {
		r.ahead = nil
	}
	return n, nil
}

// NetConn returns what is below.
func (r *rewound) NetConn() net.Conn { return r.Conn }
