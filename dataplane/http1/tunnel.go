package http1

import (
	"io"
	"net"
	"time"
)

// Tunnel hands over the connection after Head was called with 101, and sends that
// head. What was read already is what Read returns first.
func (x *Exchange) Tunnel() (io.ReadWriteCloser, error) {
	if x.stage != stageBody || x.status != 101 {
		return nil, misuse("tunnel without 101")
	}
	w := &x.c.wr
	w.flush()
	if err := x.sendError(); err != nil {
		return nil, err
	}
	x.stage, x.last = stageTunnel, true
	return newTunnel(x.c.conn, &x.c.rd), nil
}

// A Tunnel is a connection after 101 (Switching Protocols). Reading and writing
// may go on at the same time.
type Tunnel struct {
	conn net.Conn
	// ahead are bytes that came with the head.
	ahead []byte
}

func newTunnel(conn net.Conn, rd *reader) *Tunnel {
	_ = conn.SetDeadline(time.Time{})
	return &Tunnel{conn: conn, ahead: append([]byte(nil), rd.unread()...)}
}

// Read implements io.Reader.
func (t *Tunnel) Read(p []byte) (int, error) {
	if len(t.ahead) > 0 {
		n := copy(p, t.ahead)
		t.ahead = t.ahead[n:]
		return n, nil
	}
	return t.conn.Read(p)
}

// Write implements io.Writer.
func (t *Tunnel) Write(p []byte) (int, error) { return t.conn.Write(p) }

// CloseWrite tells the peer that nothing more comes, where the connection can.
func (t *Tunnel) CloseWrite() error { return closeWrite(t.conn) }

// SetDeadline sets the deadline of reading and writing.
func (t *Tunnel) SetDeadline(d time.Time) error { return t.conn.SetDeadline(d) }

// SetReadDeadline sets the deadline of reading.
func (t *Tunnel) SetReadDeadline(d time.Time) error { return t.conn.SetReadDeadline(d) }

// SetWriteDeadline sets the deadline of writing.
func (t *Tunnel) SetWriteDeadline(d time.Time) error { return t.conn.SetWriteDeadline(d) }

// Close closes the connection.
func (t *Tunnel) Close() error { return t.conn.Close() }
