package listen

import (
	"crypto/tls"
	"net"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// FuzzFirstBytes sends anything as the beginning of a connection. Whatever it is,
// it is one handshake, which failed for a reason of the list that fits what is
// known of it.
func FuzzFirstBytes(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"))
	f.Add([]byte("\x15\x03\x01\x00\x02\x02\x28"))
	for _, name := range []string{"", "ec.example.com", "nobody.example.com"} {
		f.Add(rawHello{serverName: name, suites: snapshot.Intermediate.CipherSuites, groups: []uint16{29}, schemes: []uint16{0x0403}}.bytes())
		f.Add(rawHello{serverName: name, suites: suites13, versions: []uint16{tls.VersionTLS13}, groups: []uint16{29}, schemes: []uint16{0x0403}}.bytes())
	}
	w, ln := newPipeWorld(f, nil)
	f.Fuzz(func(t *testing.T, b []byte) {
		client, server := net.Pipe()
		ln.conns <- server
		read := make(chan struct{})
		go func() { readAll(client); close(read) }()
		_ = client.SetWriteDeadline(time.Now().Add(5 * time.Second))
		_, _ = client.Write(b)
		_ = client.Close()
		h, c := <-w.handshakes, <-w.conns
		<-read
		if h.Result != outcome.Failed || !h.Reason.Known() || h.Err == "" || h.Conn.ID != c.ID || c.Reason != h.Reason {
			t.Errorf("handshake = %+v, connection = %+v, want failed, with a known reason and a text, in both", h, c)
		}
		if h.HelloSeen != (h.OfferedVersions != nil) || h.SNI != "" && !h.HelloSeen || h.BytesIn > int64(len(b)) {
			t.Errorf("handshake = %+v: what it knows does not fit together", h)
		}
	})
}
