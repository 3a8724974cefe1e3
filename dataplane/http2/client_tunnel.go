package http2

import (
	"crypto/sha1"
	"encoding/base64"

	"github.com/cardea-dev/cardea/dataplane/message"
)

// An upgrade is what becomes of "Upgrade: websocket" and the like: the protocol
// that RFC 8441 calls extended CONNECT, if the peer speaks it.
//
// If it does not, the request goes without its Upgrade field, as to a server that
// ignores it: "A server MAY ignore a received Upgrade header field" (RFC 9110
// §7.8).
type upgrade struct {
	protocol []byte
	// key is Sec-WebSocket-Key, which HTTP/1.1 alone has.
	key  []byte
	open bool
}

const websocketKey = "Sec-WebSocket-Key"

// ask notes what req asks for.
func (u *upgrade) ask(req *message.Request, allowed bool) {
	u.protocol, u.key, u.open = u.protocol[:0], u.key[:0], false
	if !allowed || !req.Fields.Has(message.Upgrade) {
		return
	}
	u.protocol = append(u.protocol, req.Fields.Get(message.Upgrade)...)
	u.key = append(u.key, req.Fields.Named(websocketKey)...)
}

// asked reports whether the request is an extended CONNECT.
func (u *upgrade) asked() bool { return len(u.protocol) > 0 }

// accepted makes of the answer to an extended CONNECT the one to an upgrade.
func (u *upgrade) accepted(res *message.Response) {
	u.open = true
	res.Status, res.Length = 101, 0
	f := &res.Fields
	f.Del(message.ContentLength)
	f.Append(message.Connection, message.Connection.Bytes(), upgradeOption)
	f.AddBytes(message.Upgrade, u.protocol)
	if len(u.key) > 0 {
		f.AddName("Sec-WebSocket-Accept", websocketAccept(u.key))
	}
}

var upgradeOption = []byte("Upgrade")

// websocketAccept proves that the answer is one to the request with that key (RFC
// 6455 §4.2.2). RFC 8441 §5 leaves both out.
func websocketAccept(key []byte) string {
	h := sha1.New()
	h.Write(key)
	h.Write([]byte("258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// A clientTunnel is a stream after its 101. Reading and writing may go on at the
// same time.
type clientTunnel struct {
	s     *ClientStream
	ahead []byte
}

// Read implements io.Reader.
func (t *clientTunnel) Read(p []byte) (int, error) {
	if len(t.ahead) == 0 {
		chunk, err := t.s.in.Next()
		if err != nil {
			return 0, err
		}
		t.ahead = chunk
	}
	n := copy(p, t.ahead)
	t.ahead = t.ahead[n:]
	return n, nil
}

// Write implements io.Writer.
func (t *clientTunnel) Write(p []byte) (int, error) {
	if err := t.s.send(p, false); err != nil {
		return 0, err
	}
	return len(p), t.s.flush()
}

// CloseWrite tells the peer that nothing more comes.
func (t *clientTunnel) CloseWrite() error { return t.s.stream.end() }

// Close ends the stream.
func (t *clientTunnel) Close() error {
	t.s.Interrupt()
	return nil
}
