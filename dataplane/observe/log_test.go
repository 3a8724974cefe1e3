package observe

import (
	"bytes"
	"encoding/json"
	"math"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// parse parses the only JSON record of a log.
func parse(t *testing.T, text string) map[string]any {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal([]byte(text), &fields); err != nil || strings.Count(text, "\n") != 1 {
		t.Fatalf("log = %q (%v), want one JSON object in one line", text, err)
	}
	return fields
}

func TestAccessLog(t *testing.T) {
	w := newWorld(t, Config{})
	r := request("shop.test")
	secured := *conn
	secured.TLS = &outcome.Handshake{SNI: "shop.test", Version: 0x0304, ClientCertificate: &outcome.ClientCertificate{Digest: "abc"}}
	r.Conn = &secured
	r.Client = netip.MustParseAddr("203.0.113.9")
	r.FieldsDropped = 2
	w.sink.Request(r)
	w.Flush()
	want := map[string]any{
		"time": "2026-05-01T12:00:00.001500Z", "log": "access", "conn": 7.0, "id": "r-1", "listener": "https",
		"remote": "192.0.2.1:4711", "client": "203.0.113.9", "fields_dropped": 2.0, "method": "GET", "host": "shop.test", "path": "/a", "proto": "HTTP/1.1",
		"status": 200.0, "reason": "ok", "route_host": "shop.test", "ingress": "shop/web",
		"field": "spec.rules[0].http.paths[0]", "service": "shop/api", "pool": "p", "endpoint": "[2001:db8::1]:8080",
		"attempts": 1.0, "duration_seconds": 0.0015, "connect_seconds": 0.0002, "first_byte_seconds": 0.001,
		"bytes_in": 3.0, "bytes_out": 1024.0, "user_agent": "curl/8", "referer": "x.test/y",
		"tls_version": "TLS 1.3", "sni": "shop.test", "client_cert": "abc",
	}
	if diff := cmp.Diff(want, parse(t, w.access.String())); diff != "" {
		t.Errorf("access record (-want +got):\n%s", diff)
	}
}

func TestAccessLogOfAFailure(t *testing.T) {
	w := newWorld(t, Config{})
	w.sink.Request(&outcome.Request{
		Conn: conn, Target: []byte("/bad?token=secret"), Start: start, Status: 400, Reason: outcome.BadRequest,
		Side: outcome.Downstream, Err: "line 1\nforged: \x1b[31m\xff \U0001F600\u202e",
	})
	w.Flush()
	got := parse(t, w.access.String())
	want := map[string]any{
		"time": "2026-05-01T12:00:00.000000Z", "log": "access", "conn": 7.0, "listener": "https", "remote": "192.0.2.1:4711",
		"path": "/bad", "status": 400.0, "reason": "bad_request", "side": "downstream",
		"err": "line 1\nforged: \x1b[31m\ufffd \U0001F600\u202e", "attempts": 0.0, "duration_seconds": 0.0, "bytes_in": 0.0, "bytes_out": 0.0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("access record (-want +got):\n%s", diff)
	}
	for _, raw := range []string{"\x1b", "\u202e", "secret"} {
		if strings.Contains(w.access.String(), raw) {
			t.Errorf("access log %q holds %q", w.access, raw)
		}
	}
}

func TestAccessLogQuery(t *testing.T) {
	w := newWorld(t, Config{LogQuery: true})
	w.sink.Request(request("shop.test"))
	w.Flush()
	got := parse(t, w.access.String())
	if got["query"] != "token=secret" || got["referer"] != "x.test/y?token=secret" {
		t.Errorf("query, referer = %q, %q, want both with the query", got["query"], got["referer"])
	}
}

func TestTextFormat(t *testing.T) {
	w := newWorld(t, Config{Format: Text})
	r := request("shop.test")
	r.UserAgent, r.Referer = []byte(`curl "8" é`+"\n"), nil
	w.sink.Request(r)
	w.Flush()
	want := `time=2026-05-01T12:00:00.001500Z log=access conn=7 id=r-1 listener=https remote=192.0.2.1:4711 method=GET ` +
		`host=shop.test path=/a proto=HTTP/1.1 status=200 reason=ok route_host=shop.test ingress=shop/web ` +
		`field=spec.rules[0].http.paths[0] service=shop/api pool=p endpoint=[2001:db8::1]:8080 attempts=1 ` +
		`duration_seconds=0.001500 connect_seconds=0.000200 first_byte_seconds=0.001000 bytes_in=3 bytes_out=1024 ` +
		`user_agent="curl \"8\" é\n"` + "\n"
	if diff := cmp.Diff(want, w.access.String()); diff != "" {
		t.Errorf("access record (-want +got):\n%s", diff)
	}
}

// TestRow7HandshakeLog is one handshake as one line of JSON, with every field.
func TestRow7HandshakeLog(t *testing.T) {
	w := newWorld(t, Config{})
	h := handshake("shop.test", "shop.test")
	h.BytesIn, h.BytesOut, h.ALPN, h.Resumed, h.DefaultCertificate = 517, 1200, "http/1.1", true, true
	h.ECHOffered, h.ECHAccepted = true, true
	h.ClientCertificate = &outcome.ClientCertificate{
		Subject: "CN=robot", Issuer: "CN=ca", Serial: "0a", Digest: "abc", NotAfter: start,
		DNSNames: []string{"robot.test"}, URINames: []string{"spiffe://x/robot"}, EmailNames: []string{"robot@x.test"}, IPNames: []string{"192.0.2.9"},
		NotBefore: start.Add(-time.Hour), Verified: true, VerifyErr: "expired",
	}
	h.AlertSent, h.JA4, h.HelloRetried, h.ECHAccepted = "bad_certificate", "t13d1516h2_8daaf6152771_e5627efa2ab1", true, true
	h.Policy = snapshot.Intermediate
	h.FirstBytes = []byte("SSH-\x00\xff\"\\")
	h.OfferedSignatureSchemes, h.OfferedExtensions = []uint16{0x0403, 0x1a1a}, []uint16{0, 0x2a2a}
	w.sink.Handshake(h)
	w.Flush()
	want := map[string]any{
		"time": "2026-05-01T12:00:00.001000Z", "log": "handshake", "conn": 7.0, "listener": "https", "remote": "192.0.2.1:4711",
		"result": "failed", "reason": "client_alert_unknown_ca", "err": "remote error: tls: unknown certificate authority",
		"alert": "unknown_ca", "alert_sent": "bad_certificate", "first_bytes": `SSH-\x00\xff"\`, "ja4": "t13d1516h2_8daaf6152771_e5627efa2ab1",
		"offered_schemes": []any{"ECDSAWithP256AndSHA256", "0x1a1a"}, "offered_extensions": []any{"0", "10794"},
		"policy": "intermediate", "hello_retried": true, "duration_seconds": 0.001, "bytes_in": 517.0, "bytes_out": 1200.0, "hello": true,
		"sni": "shop.test", "host": "shop.test", "ingress": "shop/web", "field": "spec.rules[0].http.paths[0]",
		"offered_versions": []any{"TLS 1.3"}, "offered_ciphers": []any{"TLS_AES_128_GCM_SHA256", "0x0A0A"},
		"offered_curves": []any{"X25519", "0x1a1a"}, "offered_alpn": []any{"h2", "http/1.1"},
		"version": "TLS 1.3", "cipher": "TLS_AES_128_GCM_SHA256", "curve": "X25519MLKEM768", "alpn": "http/1.1", "resumed": true, "ech": "accepted",
		"cert": "shop/tls#tls-1", "cert_serial": "1", "cert_not_before": "2026-05-01T11:00:00Z", "cert_key": "ECDSA", "cert_not_after": "2026-05-01T13:00:00Z", "default_cert": true,
		"client_subject": "CN=robot", "client_issuer": "CN=ca", "client_serial": "0a", "client_cert": "abc",
		"client_email": []any{"robot@x.test"}, "client_ip": []any{"192.0.2.9"}, "client_not_before": "2026-05-01T11:00:00Z",
		"client_not_after": "2026-05-01T12:00:00Z", "client_dns": []any{"robot.test"}, "client_uri": []any{"spiffe://x/robot"},
		"client_verified": true, "client_verify_err": "expired",
	}
	if diff := cmp.Diff(want, parse(t, w.handshake.String())); diff != "" {
		t.Errorf("handshake record (-want +got):\n%s", diff)
	}
}

func TestHandshakeLogModes(t *testing.T) {
	tests := []struct {
		mode string
		want []string
	}{
		{"off", nil},
		{"failures", []string{"result=failed", "result=timeout"}},
		{"all", []string{"result=done", "result=failed", "result=timeout"}},
	}
	for _, test := range tests {
		t.Run(test.mode, func(t *testing.T) {
			mode, err := ParseHandshakeMode(test.mode)
			if err != nil {
				t.Fatal(err)
			}
			w := newWorld(t, Config{Handshakes: HandshakeLog{Mode: mode}, Format: Text})
			for _, result := range []outcome.Result{outcome.Done, outcome.Failed, outcome.Timeout} {
				h := handshake("shop.test", "shop.test")
				h.Result = result
				w.sink.Handshake(h)
			}
			w.Flush()
			var got []string
			for word := range strings.FieldsSeq(w.handshake.String()) {
				if strings.HasPrefix(word, "result=") {
					got = append(got, word)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("handshakes logged (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRow15Peers holds the handshake log to what operators of nginx, Envoy and
// HAProxy find in theirs. Early data is not in it: crypto/tls accepts none.
func TestRow15Peers(t *testing.T) {
	for _, v := range []struct{ fact, nginx, envoy, haproxy, field string }{
		{"protocol version", "$ssl_protocol", "%DOWNSTREAM_TLS_VERSION%", "ssl_fc_protocol", "version"},
		{"cipher suite", "$ssl_cipher", "%DOWNSTREAM_TLS_CIPHER%", "ssl_fc_cipher", "cipher"},
		{"key exchange group", "$ssl_curve", "", "ssl_fc_curve", "curve"},
		{"suites offered", "$ssl_ciphers", "", "ssl_fc_cipherlist_str", "offered_ciphers"},
		{"groups offered", "$ssl_curves", "", "ssl_fc_eclist_bin", "offered_curves"},
		{"extensions offered", "", "", "ssl_fc_extlist_bin", "offered_extensions"},
		{"versions offered", "", "", "ssl_fc_protocol_hello_id", "offered_versions"},
		{"fingerprint of the hello", "", "%TLS_JA4_FINGERPRINT%", "", "ja4"},
		{"server name", "$ssl_server_name", "%REQUESTED_SERVER_NAME%", "ssl_fc_sni", "sni"},
		{"application protocol", "$ssl_alpn_protocol", "", "ssl_fc_alpn", "alpn"},
		{"session reused", "$ssl_session_reused", "", "ssl_fc_is_resumed", "resumed"},
		{"client's fingerprint", "$ssl_client_fingerprint", "%DOWNSTREAM_PEER_FINGERPRINT_256%", "ssl_c_sha1", "client_cert"},
		{"client's issuer", "$ssl_client_i_dn", "%DOWNSTREAM_PEER_ISSUER%", "ssl_c_i_dn", "client_issuer"},
		{"client's subject", "$ssl_client_s_dn", "%DOWNSTREAM_PEER_SUBJECT%", "ssl_c_s_dn", "client_subject"},
		{"client's serial number", "$ssl_client_serial", "%DOWNSTREAM_PEER_SERIAL%", "ssl_c_serial", "client_serial"},
		{"client's DNS names", "", "%DOWNSTREAM_PEER_DNS_SAN%", "ssl_c_san", "client_dns"},
		{"client's URI names", "", "%DOWNSTREAM_PEER_URI_SAN%", "ssl_c_san", "client_uri"},
		{"client's IP names", "", "%DOWNSTREAM_PEER_IP_SAN%", "ssl_c_san", "client_ip"},
		{"client's e-mail names", "", "%DOWNSTREAM_PEER_EMAIL_SAN%", "ssl_c_san", "client_email"},
		{"client's begin of validity", "$ssl_client_v_start", "%DOWNSTREAM_PEER_CERT_V_START%", "ssl_c_notbefore", "client_not_before"},
		{"client's end of validity", "$ssl_client_v_end", "%DOWNSTREAM_PEER_CERT_V_END%", "ssl_c_notafter", "client_not_after"},
		{"verify result", "$ssl_client_verify", "", "ssl_c_verify", "client_verified"},
		{"verify error", "$ssl_client_verify", "", "ssl_c_err", "client_verify_err"},
		{"certificate served", "$ssl_server_name", "%DOWNSTREAM_LOCAL_SUBJECT%", "ssl_f_s_dn", "cert"},
		{"its serial number", "", "", "ssl_f_serial", "cert_serial"},
		{"its begin of validity", "", "", "ssl_f_notbefore", "cert_not_before"},
		{"its end of validity", "", "", "ssl_f_notafter", "cert_not_after"},
		{"its key type", "", "", "ssl_f_key_alg", "cert_key"},
		{"why it failed", "", "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%", "ssl_fc_err_str", "reason"},
	} {
		if !slices.Contains(handshakeFields, v.field) {
			t.Errorf("%s (%s %s %s): the handshake log has no field %q", v.fact, v.nginx, v.envoy, v.haproxy, v.field)
		}
	}
}

// TestHandshakeLogSample: the share is kept, the same connections are chosen
// every time, and no failure is left out.
func TestHandshakeLogSample(t *testing.T) {
	const n = 20_000
	logged := func(share float64) (done, failed string) {
		w := newWorld(t, Config{Handshakes: HandshakeLog{Mode: HandshakeAll, SampleOK: share, Fields: []string{"result"}}, Format: Text, Buffer: 16 << 20})
		for i := range n {
			h := handshake("shop.test", "shop.test")
			h.Conn = &outcome.Conn{ID: uint64(i), Listener: "https", Accepted: start}
			if h.Result, h.Reason = outcome.Done, outcome.OK; i%100 == 0 {
				h.Result, h.Reason = outcome.Failed, outcome.Version
			}
			w.sink.Handshake(h)
		}
		w.Flush()
		var ok, not strings.Builder
		for line := range strings.Lines(w.handshake.String()) {
			if strings.Contains(line, "result=done") {
				ok.WriteString(line)
			} else {
				not.WriteString(line)
			}
		}
		return ok.String(), not.String()
	}
	for _, share := range []float64{0, .01, .5, 1} {
		done, failed := logged(share)
		again, _ := logged(share)
		if done != again {
			t.Errorf("share %v: other connections the second time", share)
		}
		want := share
		if share == 0 {
			want = 1
		}
		if got := float64(strings.Count(done, "\n")) / (n * .99); got < want*.8 || got > want*1.2 {
			t.Errorf("share %v: %v of the good handshakes are logged", share, got)
		}
		if got := strings.Count(failed, "\n"); got != n/100 {
			t.Errorf("share %v: %d of %d failures are logged, want all", share, got, n/100)
		}
	}
}

func TestHandshakeLogFields(t *testing.T) {
	w := newWorld(t, Config{Handshakes: HandshakeLog{Fields: []string{"reason", "sni", "offered_versions", "bytes_in", "conn"}}})
	w.sink.Handshake(handshake("shop.test", "shop.test"))
	w.Flush()
	want := map[string]any{
		"time": "2026-05-01T12:00:00.001000Z", "log": "handshake", "conn": 7.0, "reason": "client_alert_unknown_ca", "sni": "shop.test",
		"offered_versions": []any{"TLS 1.3"}, "bytes_in": 0.0,
	}
	if diff := cmp.Diff(want, parse(t, w.handshake.String())); diff != "" {
		t.Errorf("handshake record (-want +got):\n%s", diff)
	}
	// The list is the handshake log's alone.
	w.sink.Request(request("shop.test"))
	w.Flush()
	if got := parse(t, w.access.String()); got["method"] != "GET" {
		t.Errorf("access record = %v, want all of it", got)
	}
}

// TestSetHandshakeLog changes the log while handshakes are written.
func TestSetHandshakeLog(t *testing.T) {
	w := newWorld(t, Config{Handshakes: HandshakeLog{Mode: HandshakeOff}, Format: Text})
	h := handshake("shop.test", "shop.test")
	w.sink.Handshake(h)
	if err := w.SetHandshakeLog(HandshakeLog{Mode: HandshakeAll, Fields: []string{"reason"}}); err != nil {
		t.Fatal(err)
	}
	w.sink.Handshake(h)
	for _, bad := range []HandshakeLog{{SampleOK: -.1}, {SampleOK: 1.1}, {SampleOK: math.NaN()}, {Fields: []string{"password"}}} {
		if err := w.SetHandshakeLog(bad); err == nil {
			t.Errorf("SetHandshakeLog(%+v) = nil, want an error", bad)
		}
	}
	w.sink.Handshake(h)
	var changing sync.WaitGroup
	for i := range 4 {
		changing.Go(func() {
			for range 100 {
				w.sink.Handshake(h)
				if err := w.SetHandshakeLog(HandshakeLog{Mode: HandshakeMode(i % 2)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	changing.Wait()
	if err := w.SetHandshakeLog(HandshakeLog{Mode: HandshakeOff}); err != nil {
		t.Fatal(err)
	}
	w.sink.Handshake(h)
	w.Flush()
	line := "time=2026-05-01T12:00:00.001000Z log=handshake conn=7 reason=client_alert_unknown_ca\n"
	if text := w.handshake.String(); !strings.HasPrefix(text, line+line) || strings.Count(text, "\n") != 402 {
		t.Errorf("%d records, beginning with %.200q, want 402, the first two of them with the reason alone", strings.Count(text, "\n"), text)
	}
}

// TestOneWriterForBothLogs: the race detector would tell of two Writes at once.
func TestOneWriterForBothLogs(t *testing.T) {
	var b bytes.Buffer
	o := New(Config{AccessLog: &b, HandshakeLog: &b, Format: Text, FlushInterval: 1})
	sink := o.Sink()
	for range 200 {
		sink.Request(request("shop.test"))
		sink.Handshake(handshake("shop.test", "shop.test"))
	}
	o.Close()
	access, handshakes := strings.Count(b.String(), "log=access"), strings.Count(b.String(), "log=handshake")
	if lines := strings.Count(b.String(), "\n"); access != 200 || handshakes != 200 || lines != 400 {
		t.Errorf("%d access and %d handshake records in %d lines, want 200, 200 and 400", access, handshakes, lines)
	}
}

func TestParse(t *testing.T) {
	if f, err := ParseFormat("text"); err != nil || f != Text {
		t.Errorf(`ParseFormat("text") = %v, %v, want Text`, f, err)
	}
	if f, err := ParseFormat("json"); err != nil || f != JSON {
		t.Errorf(`ParseFormat("json") = %v, %v, want JSON`, f, err)
	}
	if _, err := ParseFormat("xml"); err == nil {
		t.Error(`ParseFormat("xml") succeeded, want an error`)
	}
	if _, err := ParseHandshakeMode("some"); err == nil {
		t.Error(`ParseHandshakeMode("some") succeeded, want an error`)
	}
	if l, err := ParseHandshakeLog("all", 0, nil); err != nil || l.Mode != HandshakeFailures {
		t.Errorf(`ParseHandshakeLog("all", 0) = %v, %v, want failures alone`, l, err)
	}
	if l, err := ParseHandshakeLog("all", .25, []string{"sni"}); err != nil || l.Mode != HandshakeAll || l.SampleOK != .25 || len(l.Fields) != 1 {
		t.Errorf(`ParseHandshakeLog("all", .25, sni) = %v, %v, want the same`, l, err)
	}
	if _, err := ParseHandshakeLog("all", 2, nil); err == nil {
		t.Error(`ParseHandshakeLog("all", 2) succeeded, want an error`)
	}
}

func TestRedactReferer(t *testing.T) {
	tests := []struct{ rule, referer, without, with string }{
		{"nothing", "", "", ""},
		{"a plain URL", "https://x.test/a", "https://x.test/a", "https://x.test/a"},
		{"a query", "https://x.test/a?b=c", "https://x.test/a", "https://x.test/a?b=c"},
		{"a fragment", "https://x.test/a?b#c", "https://x.test/a", "https://x.test/a?b"},
		{"a user", "https://u:p@x.test/a", "x.test/a", "x.test/a"},
		{"a user with an at sign", "https://u@v:p@x.test", "x.test", "x.test"},
		{"an at sign in the path", "https://x.test/@a", "https://x.test/@a", "https://x.test/@a"},
		{"an at sign in the query", "https://x.test?q=@a", "https://x.test", "https://x.test?q=@a"},
		{"no URL at all", "u:p?x", "u:p", "u:p?x"},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			if got := redactReferer([]byte(test.referer), false); string(got) != test.without {
				t.Errorf("redactReferer(%q, false) = %q, want %q", test.referer, got, test.without)
			}
			if got := redactReferer([]byte(test.referer), true); string(got) != test.with {
				t.Errorf("redactReferer(%q, true) = %q, want %q", test.referer, got, test.with)
			}
		})
	}
}

// FuzzRecord: a record is one line of valid JSON whatever a client sent, and its
// text form is one printable line.
func FuzzRecord(f *testing.F) {
	f.Add([]byte("plain"))
	f.Add([]byte("\"\\\x00\x7f\xc2\x85\u2028\ud7ff\U0010ffff\xff\n"))
	f.Add([]byte(strings.Repeat("é", maxValue)))
	f.Fuzz(func(t *testing.T, value []byte) {
		line := string(appendValue(nil, JSON, value))
		var got string
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatalf("appendValue(JSON, %q) = %s: %v", value, line, err)
		}
		want := strings.ToValidUTF8(string(value), "\ufffd")
		if len(value) <= maxValue && strings.Count(got, "\ufffd") == 0 && got != want {
			t.Fatalf("appendValue(JSON, %q) decodes to %q, want %q", value, got, want)
		}
		if text := string(appendValue(nil, Text, value)); strings.ContainsAny(text, "\n\r\x00\x1b") || (strings.Contains(text, " ") && text[0] != '"') {
			t.Fatalf("appendValue(Text, %q) = %q, want one word or a quoted one", value, text)
		}
	})
}

func BenchmarkRequest(b *testing.B) {
	for _, bench := range []struct {
		name string
		cfg  Config
	}{{"metrics", Config{}}, {"metrics+json", Config{AccessLog: discard{}}}, {"metrics+text", Config{AccessLog: discard{}, Format: Text}}} {
		b.Run(bench.name, func(b *testing.B) {
			w := &world{Observer: New(bench.cfg)}
			b.Cleanup(w.Close)
			w.sink = w.Sink()
			hosts := []*snapshot.Host{}
			for i := range 1000 {
				hosts = append(hosts, host(string(rune('a'+i/100%10))+string(rune('a'+i/10%10))+string(rune('a'+i%10))+".test", "api"))
			}
			w.publish(b, hosts...)
			r := request("eee.test")
			b.ReportAllocs()
			for b.Loop() {
				w.sink.Request(r)
			}
		})
	}
}

// TestLogFieldsAreDocumented holds docs/logs.md complete: it has a row for every
// field that the two logs can write, and none for others.
func TestLogFieldsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/logs.md")
	if err != nil {
		t.Fatal(err)
	}
	access, handshakes, ok := strings.Cut(string(page), "## Handshake log")
	if !ok {
		t.Fatal("docs/logs.md has no section on the handshake log")
	}
	written := regexp.MustCompile(`\be\.\w+\("(\w+)"`)
	row := regexp.MustCompile("(?m)^\\| `(\\w+)`")
	for file, section := range map[string]string{"access.go": access, "handshakelog.go": handshakes} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want, got := map[string]bool{"time": true, "log": true}, map[string]bool{}
		for _, m := range written.FindAllStringSubmatch(string(source), -1) {
			want[m[1]] = true
		}
		for _, m := range row.FindAllStringSubmatch(section, -1) {
			got[m[1]] = true
		}
		if file == "handshakelog.go" {
			listed := map[string]bool{}
			for _, f := range slices.Concat(handshakeFields, alwaysWritten) {
				listed[f] = true
			}
			if diff := cmp.Diff(want, listed); diff != "" {
				t.Errorf("handshakeFields has other fields than are written (-written +listed):\n%s", diff)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("docs/logs.md has other fields than %s (-want +got):\n%s", file, diff)
		}
	}
}
