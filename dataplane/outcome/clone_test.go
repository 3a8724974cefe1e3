package outcome

import (
	"net/netip"
	"reflect"
	"testing"
	"time"
)

func TestClone(t *testing.T) {
	h := &Handshake{
		Result: Failed, Reason: Version, SNI: "shop.test", OfferedVersions: []uint16{0x0304}, ClientCertificate: &ClientCertificate{Subject: "CN=robot"},
		Conn: &Conn{
			ID: 7, Listener: "https", Remote: netip.MustParseAddrPort("192.0.2.1:1"), Local: netip.MustParseAddrPort("192.0.2.2:443"),
			Proxy: netip.MustParseAddrPort("192.0.2.3:1"), Accepted: time.Unix(1, 0), Stamp: "stamp",
		},
	}
	h.Conn.TLS = h
	got := h.Clone()
	if got == h || got.Conn == h.Conn || got.Conn.TLS != got {
		t.Errorf("Clone() = %p with connection %p of %p, want others than %p, %p, tied to each other", got, got.Conn, got.Conn.TLS, h, h.Conn)
	}
	if !reflect.DeepEqual(got, h) {
		t.Errorf("Clone() = %+v, want %+v", got, h)
	}

	// What is written at the end of a connection is not even read.
	h.Conn.Reason, h.Conn.Duration, h.Conn.BytesIn, h.Conn.BytesOut, h.Conn.Requests = OK, 1, 2, 3, 4
	if !reflect.DeepEqual(h.Clone(), got) {
		t.Errorf("Clone() = %+v, want it without what is known at the end", h.Clone().Conn)
	}
	if got := (&Handshake{}).Clone(); got.Conn != nil {
		t.Errorf("Clone() of a handshake without a connection has %+v", got.Conn)
	}
}
