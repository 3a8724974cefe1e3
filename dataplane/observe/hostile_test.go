package observe

import (
	"strings"
	"testing"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// TestRow7RecordIsBounded: a ClientHello may have 64 KiB, and whoever sends such must
// not fill the buffer of the log, so that the records of others are dropped. What is
// left out is marked.
func TestRow7RecordIsBounded(t *testing.T) {
	many := func(n int, s string) []string { return strings.Split(strings.Repeat(s+"\n", n-1)+s, "\n") }
	numbers := make([]uint16, 32_000)
	for i := range numbers {
		numbers[i] = 0x0a0a
	}
	for name, offer := range map[string]func(*outcome.Handshake){
		"protocols":      func(h *outcome.Handshake) { h.OfferedALPN = many(32_000, "\x01") },
		"long protocols": func(h *outcome.Handshake) { h.OfferedALPN = many(255, strings.Repeat("\x01", 255)) },
		"suites":         func(h *outcome.Handshake) { h.OfferedCipherSuites = numbers },
		"groups":         func(h *outcome.Handshake) { h.OfferedCurves = numbers },
		"schemes":        func(h *outcome.Handshake) { h.OfferedSignatureSchemes = numbers },
		"extensions":     func(h *outcome.Handshake) { h.OfferedExtensions = numbers },
		"names of a certificate": func(h *outcome.Handshake) {
			h.ClientCertificate = &outcome.ClientCertificate{DNSNames: many(20_000, "\x01"), URINames: many(5_000, "a:\x01")}
		},
	} {
		for _, format := range []Format{JSON, Text} {
			w := newWorld(t, Config{Format: format})
			h := handshake("shop.test", "shop.test")
			h.Result, h.Reason = outcome.Failed, outcome.ALPN
			offer(h)
			w.sink.Handshake(h)
			w.Flush()
			got := w.handshake.String()
			if len(got) > 32<<10 || !strings.Contains(got, `"…"`) || !strings.HasSuffix(got, "\n") {
				t.Errorf("%s: a record of %d bytes, want 32 KiB at most, with a mark that it is not all", name, len(got))
			}
			if format == JSON {
				parse(t, got)
			}
		}
	}
	// What clients really send is there as a whole.
	w := newWorld(t, Config{})
	h := handshake("shop.test", "shop.test")
	h.Result, h.Reason = outcome.Failed, outcome.Cipher
	h.OfferedCipherSuites = numbers[:200]
	w.sink.Handshake(h)
	w.Flush()
	if got := parse(t, w.handshake.String())["offered_ciphers"].([]any); len(got) != 200 {
		t.Errorf("%d suites of 200 are in the record, want all", len(got))
	}
}
