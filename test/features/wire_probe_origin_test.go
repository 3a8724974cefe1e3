package features

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// An originProbe is one row about what an origin answers.
type originProbe struct {
	name, rule string
	answer     string
	// closes says that the origin closes behind the answer; else it goes on as if
	// nothing had happened.
	closes bool
	// want is "502", the status and body that have to arrive ("200 ok"), or "cut" for an
	// answer that must not look whole.
	want string
}

// hostile answers the first request on the first connection by p, everything else well.
func (p originProbe) hostile(c *originConn) {
	if c.n == 0 {
		c.body(c.head())
		c.send(p.answer)
		if p.closes {
			return
		}
	}
	echoing(c)
}

// TestWireOriginProbes plays the rows about origins, for a client of either version of
// HTTP/1, by GET and by HEAD, with a request behind it that must get its own answer.
func TestWireOriginProbes(t *testing.T) {
	seen := make(map[string]bool)
	for _, p := range originProbes() {
		if seen[p.name] || p.rule == "" {
			t.Errorf("%q: named twice, or without a rule", p.name)
		}
		seen[p.name] = true
		for _, version := range []string{"HTTP/1.1", "HTTP/1.0"} {
			t.Run(p.name+"/"+version, func(t *testing.T) {
				t.Parallel()
				p.run(t, version)
			})
		}
	}
	t.Logf("%d rows for two versions", len(seen))
}

func (p originProbe) run(t *testing.T, version string) {
	w := newWire(t, wireOptions{halfClose: time.Hour}, p.hostile)
	got, orderly := w.talk("GET /first " + version + "\r\n" + hostLine + "Connection: keep-alive\r\n\r\n" + sentinel)
	all, err := strictResponses(got, []string{"GET", "GET"}, orderly)
	if err != nil {
		t.Fatalf("the client got %q: %v", got, err)
	}
	var final []*strictMessage
	for _, m := range all {
		switch {
		case m.status == 101:
			t.Fatalf("a tunnel that nobody asked for: %q", got)
		case m.status < 200 && version == "HTTP/1.0":
			t.Errorf("HTTP/1.0 got an interim response: %q", got) // RFC 9110 §15.2
		case m.status >= 200 || !m.whole:
			final = append(final, m)
		}
		if version == "HTTP/1.0" && len(final) == 1 && m.values("Transfer-Encoding") != nil {
			t.Errorf("HTTP/1.0 got chunks: %q", got) // RFC 9112 §6.1
		}
	}
	if p.want == "cut" {
		if len(final) > 1 || len(final) == 1 && final[0].whole {
			t.Errorf("the client got %q, which looks whole", got)
		}
		return
	}
	if len(final) == 0 {
		t.Fatalf("the client got %q, want %q", got, p.want)
	}
	status, body, _ := strings.Cut(p.want, " ")
	first := final[0]
	if strconv.Itoa(first.status) != status || !first.whole || status != "502" && first.body != body {
		t.Errorf("the client got %q, want %q", got, p.want)
	}
	if status == "502" && strings.Contains(got, "evil") {
		t.Errorf("the client got something of the origin's answer: %q", got)
	}
	if len(final) > 1 {
		if a := final[1].values("X-Answers"); len(a) != 1 || a[0] != "/sentinel" || final[1].body != "GET /sentinel" {
			t.Errorf("the next answer is %q", got)
		}
	} else if version == "HTTP/1.1" {
		t.Errorf("no answer to the next request: %q", got)
	}
	if len(final) > 2 {
		t.Errorf("more answers than requests: %q", got)
	}
	for _, b := range w.origin.got() {
		if _, err := strictRequests(b); err != nil {
			t.Errorf("the origin got %q: %v", b, err)
		}
	}
}

// originProbes are answers as a hostile or a broken origin gives them.
func originProbes() []originProbe {
	const both = "RFC 9112 §6.3: response splitting; treat as an error"
	const length = "RFC 9112 §6.3: a proxy MUST discard it and send 502"
	const coding = "RFC 9112 §6.1"
	const status = "RFC 9112 §4: status-code = 3DIGIT; RFC 9110 §15"
	const field = "RFC 9112 §5; §2.2: a bare CR is invalid"
	const fold = "RFC 9112 §5.2: MUST discard, or replace"
	const short = "RFC 9112 §8: incomplete"
	const chunk = "RFC 9112 §7.1"
	const none = "RFC 9112 §6.3 rule 1: no body whatever the fields say"
	const behind = "RFC 9112 §9.3: what is behind an answer is no answer"
	const interim = "RFC 9110 §15.2"
	const evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
	const ok = "HTTP/1.1 200 OK\r\n"
	const te = ok + "Transfer-Encoding: chunked\r\n\r\n"
	cl := func(v string) string { return ok + "Content-Length: " + v + "\r\n\r\nevil" }
	tev := func(v string) string {
		return ok + "Transfer-Encoding: " + v + "\r\n\r\n4\r\nevil\r\n0\r\n\r\n"
	}
	with := func(l string) string { return ok + l + "\r\nContent-Length: 4\r\n\r\nevil" }
	line := func(l string) string { return l + "\r\nContent-Length: 4\r\n\r\nevil" }
	return []originProbe{
		{"CL before TE", both, ok + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + evil, false, "502"},
		{"TE before CL", both, ok + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + evil, false, "502"},
		{"CL and an empty TE", both, ok + "Content-Length: 4\r\nTransfer-Encoding:\r\n\r\nevil", false, "502"},
		{"CL twice and different", length, ok + "Content-Length: 4\r\nContent-Length: 5\r\n\r\nevil", false, "502"},
		{"CL twice and equal", length, ok + "Content-Length: 4\r\nContent-Length: 4\r\n\r\nevil", false, "502"},
		{"CL of a list", length, cl("4, 4"), false, "502"},
		{"CL with a plus", length, cl("+4"), false, "502"},
		{"CL with a minus", length, cl("-4"), false, "502"},
		{"CL in hexadecimal", length, cl("0x4"), false, "502"},
		{"CL with a leading zero", length, cl("04"), false, "502"},
		{"CL empty", length, cl(""), false, "502"},
		{"CL with a space inside", length, cl("4 4"), false, "502"},
		{"CL beyond int64", length, cl("9223372036854775808"), false, "502"},
		{"CL with a space before the colon", "RFC 9112 §5.1: a proxy MUST remove or refuse", ok + "Content-Length : 4\r\n\r\nevil", false, "502"},
		{"TE xchunked", coding, tev("xchunked"), false, "502"},
		{"TE chunked, chunked", coding, tev("chunked, chunked"), false, "502"},
		{"TE gzip, chunked", coding, tev("gzip, chunked"), false, "502"},
		{"TE chunked, gzip", coding, tev("chunked, gzip"), false, "502"},
		{"TE identity", coding, tev("identity"), false, "502"},
		{"TE with a vertical tab", coding, tev("\x0bchunked"), false, "502"},
		{"TE twice", coding, ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false, "502"},
		{"TE in HTTP/1.0", coding, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n", false, "502"},
		{"TE in upper case", "RFC 9112 §7", ok + "Transfer-Encoding: CHUNKED\r\n\r\n2\r\nok\r\n0\r\n\r\n", false, "200 ok"},
		{"status 99", status, line("HTTP/1.1 99 X"), false, "502"},
		{"status 099", status, line("HTTP/1.1 099 X"), false, "502"},
		{"status 000", status, line("HTTP/1.1 000 X"), false, "502"},
		{"status 600", status, line("HTTP/1.1 600 X"), false, "502"},
		{"status 999", status, line("HTTP/1.1 999 X"), false, "502"},
		{"status 2000", status, line("HTTP/1.1 2000 X"), false, "502"},
		{"status 20x", status, line("HTTP/1.1 20x X"), false, "502"},
		{"status with a sign", status, line("HTTP/1.1 +20 X"), false, "502"},
		{"no status", status, line("HTTP/1.1 OK"), false, "502"},
		{"two spaces before the status", status, line("HTTP/1.1  200 OK"), false, "502"},
		{"a tab before the status", status, line("HTTP/1.1\t200 OK"), false, "502"},
		{"a space first", status, line(" HTTP/1.1 200 OK"), false, "502"},
		{"an empty line first", status, "\r\n" + evil, false, "502"},
		{"a version in lower case", status, line("http/1.1 200 OK"), false, "502"},
		{"HTTP/2", status, line("HTTP/2 200 OK"), false, "502"},
		{"HTTP/0.9", status, "<html>evil</html>", true, "502"},
		{"another protocol", status, "220 evil ESMTP\r\n", false, "502"},
		{"a NUL in the reason", status, line("HTTP/1.1 200 O\x00K"), false, "502"},
		{"a bare CR in the reason", status, line("HTTP/1.1 200 O\rK"), false, "502"},
		{"a reason of obs-text", "RFC 9112 §4: reason-phrase", "HTTP/1.1 200 \xe9t\xe9\r\nContent-Length: 2\r\n\r\nok", false, "200 ok"},
		{"no reason and no space", "RFC 9112 §4; many servers", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", false, "200 ok"},
		{"a status that nobody knows", "RFC 9110 §15: as x00", "HTTP/1.1 299 Odd\r\nContent-Length: 2\r\n\r\nok", false, "299 ok"},
		{"a NUL in a value", field, with("X: a\x00evil"), false, "502"},
		{"a bare CR in a value", field, with("X: a\rSet-Cookie: evil"), false, "502"},
		{"a bare LF in a value", field, with("X: a\nSet-Cookie: evil"), false, "502"},
		{"a control character in a value", field, with("X: \x01evil"), false, "502"},
		{"DEL in a value", field, with("X: \x7fevil"), false, "502"},
		{"LF for CR LF", field, "HTTP/1.1 200 OK\nContent-Length: 4\n\nevil", false, "502"},
		{"a head that ends in LF", field, ok + "Content-Length: 4\r\n\nevil", false, "502"},
		{"a field without a colon", field, with("evil"), false, "502"},
		{"a field without a name", field, with(": evil"), false, "502"},
		{"a name with a space", field, with("X Y: evil"), false, "502"},
		{"a name beyond ASCII", field, with("X\xe9: evil"), false, "502"},
		{"a name with a NUL", field, with("X\x00: evil"), false, "502"},
		{"obs-fold", fold, with("X: a\r\n evil"), false, "502"},
		{"obs-fold of the first field", fold, ok + " X: evil\r\nContent-Length: 4\r\n\r\nevil", false, "502"},
		{"Connection names Content-Length", "RFC 9110 §7.6.1", with("Connection: content-length"), false, "502"},
		{"Connection names Set-Cookie", "RFC 9110 §7.6.1", with("Connection: Set-Cookie\r\nSet-Cookie: evil"), false, "502"},
		{"too many fields", "limits", with(strings.Repeat("X: evil\r\n", 300) + "Y: 1"), false, "502"},
		{"a head that is too large", "limits", with("X: " + strings.Repeat("e", 70000)), false, "502"},
		{"nothing", "RFC 9110 §15.6.3", "", true, "502"},
		{"part of a status line", "RFC 9110 §15.6.3", "HTTP/1.1 20", true, "502"},
		{"part of a head", "RFC 9110 §15.6.3", ok + "Content-Length: 4\r\n", true, "502"},
		{"101 that nobody asked for", "RFC 9110 §7.8: MUST NOT switch", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + evil, false, "502"},
		{"101 without Upgrade", "RFC 9110 §15.2.2", "HTTP/1.1 101 Switching Protocols\r\n\r\n" + evil, false, "502"},
		{"an interim response of HTTP/1.0", interim, "HTTP/1.0 100 Continue\r\n\r\n" + evil, false, "502"},
		{"100 that nobody waits for", "RFC 9110 §15.2.1", "HTTP/1.1 100 Continue\r\n\r\n" + ok + "Content-Length: 2\r\n\r\nok", false, "200 ok"},
		{"103 twice", interim, strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n", 2) + ok + "Content-Length: 2\r\n\r\nok", false, "200 ok"},
		{"102 with Content-Length", "RFC 9110 §8.6: MUST NOT send it in 1xx", "HTTP/1.1 102 Processing\r\nContent-Length: 4\r\n\r\n" + ok + "Content-Length: 2\r\n\r\nok", false, "200 ok"},
		{"103 with Transfer-Encoding", "RFC 9112 §6.1: MUST NOT send it in 1xx", "HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n" + ok + "Content-Length: 2\r\n\r\nok", false, "200 ok"},
		{"an interim status that nobody knows", interim, "HTTP/1.1 199 Odd\r\n\r\n" + ok + "Content-Length: 2\r\n\r\nok", false, "200 ok"},
		{"interim responses without end", "limits", strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 100), false, "502"},
		{"an interim response and the end", "RFC 9110 §15.6.3", "HTTP/1.1 103 Early Hints\r\n\r\n", true, "502"},
		{"204 with Content-Length", none, "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil", false, "204 "},
		{"204 with chunks", none, "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n", false, "204 "},
		{"204 with an answer behind", none, "HTTP/1.1 204 No Content\r\n\r\n" + evil, false, "204 "},
		{"304 with Content-Length", none, "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nevil", false, "304 "},
		{"304 with chunks", none, "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false, "304 "},
		{"205 with a body", "RFC 9110 §15.3.6 binds servers; framing holds", "HTTP/1.1 205 Reset Content\r\nContent-Length: 2\r\n\r\nok", false, "205 ok"},
		{"an answer behind Content-Length", behind, ok + "Content-Length: 2\r\n\r\nok" + evil, false, "200 ok"},
		{"a byte behind Content-Length", behind, ok + "Content-Length: 2\r\n\r\nokx", false, "200 ok"},
		{"CR LF behind Content-Length", behind, ok + "Content-Length: 2\r\n\r\nok\r\n", false, "200 ok"},
		{"an answer behind chunks", behind, te + "2\r\nok\r\n0\r\n\r\n" + evil, false, "200 ok"},
		{"an answer behind an empty body", behind, ok + "Content-Length: 0\r\n\r\n" + evil, false, "200 "},
		{"an answer behind Connection: close", behind, ok + "Connection: close\r\nContent-Length: 2\r\n\r\nok" + evil, false, "200 ok"},
		{"a body that ends with the connection", "RFC 9112 §6.3 rule 8", ok + "\r\nok", true, "200 ok"},
		{"an HTTP/1.0 body that ends with the connection", "RFC 9112 §6.3 rule 8", "HTTP/1.0 200 OK\r\n\r\nok", true, "200 ok"},
		{"HTTP/1.0 with Content-Length", "RFC 9112 §9.3", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", false, "200 ok"},
		{"fewer bytes than Content-Length", short, ok + "Content-Length: 10\r\n\r\nhello", true, "cut"},
		{"no bytes of Content-Length", short, ok + "Content-Length: 10\r\n\r\n", true, "cut"},
		{"no chunk", short, te, true, "cut"},
		{"no last chunk", short, te + "2\r\nok\r\n", true, "cut"},
		{"half a chunk", short, te + "a\r\nhello", true, "cut"},
		{"half a size", short, te + "2\r\nok\r\n1", true, "cut"},
		{"no end of the trailers", short, te + "2\r\nok\r\n0\r\nX: 1\r\n", true, "cut"},
		{"a last chunk without its end", short, te + "2\r\nok\r\n0\r\n", true, "cut"},
		{"a size of nothing", chunk, te + "2\r\nok\r\n\r\n0\r\n\r\n", false, "cut"},
		{"a size with a prefix", chunk, te + "2\r\nok\r\n0x2\r\nok\r\n0\r\n\r\n", false, "cut"},
		{"a size with a sign", chunk, te + "2\r\nok\r\n+2\r\nok\r\n0\r\n\r\n", false, "cut"},
		{"a size with a space", chunk, te + "2\r\nok\r\n 2\r\nok\r\n0\r\n\r\n", false, "cut"},
		{"a size beyond int64", chunk, te + "2\r\nok\r\nffffffffffffffff\r\nok\r\n0\r\n\r\n", false, "cut"},
		{"a size line that ends in LF", chunk, te + "2\r\nok\r\n2\nok\r\n0\r\n\r\n", false, "cut"},
		{"a chunk longer than its size", chunk, te + "2\r\nokay\r\n0\r\n\r\n", false, "cut"},
		{"a chunk that ends in LF", chunk, te + "2\r\nok\n0\r\n\r\n", false, "cut"},
		{"a bare extension", chunk, te + "2\r\nok\r\n2;\r\nok\r\n0\r\n\r\n", false, "cut"},
		{"a last chunk that ends in LF", chunk, te + "2\r\nok\r\n0\n\n", false, "cut"},
		{"a trailer with a space before the colon", chunk, te + "2\r\nok\r\n0\r\nX : 1\r\n\r\n", false, "cut"},
		{"a trailer that is framing", chunk, te + "2\r\nok\r\n0\r\nContent-Length: 1\r\n\r\n", false, "cut"},
		{"a trailer with a NUL", chunk, te + "2\r\nok\r\n0\r\nX: \x00\r\n\r\n", false, "cut"},
		{"a trailer that is folded", chunk, te + "2\r\nok\r\n0\r\nX: 1\r\n 2\r\n\r\n", false, "cut"},
		{"trailers that are too large", "limits", te + "2\r\nok\r\n0\r\nX: " + strings.Repeat("a", 20000) + "\r\n\r\n", false, "cut"},
		{"chunks with extensions and trailers", chunk, te + "1;a=b\r\no\r\n01;c=\"d\"\r\nk\r\n0\r\nX-Sum: 1\r\nSet-Cookie: evil\r\n\r\n", false, "200 ok"},
		{"fields of the hop", "RFC 9110 §7.6.1", ok + "Connection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: a\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nok", false, "200 ok"},
	}
}

// TestWireOriginProbesHead: an answer to HEAD has no body, and what an origin sends all
// the same is no answer to the next request.
func TestWireOriginProbesHead(t *testing.T) {
	const evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
	for i, answer := range []string{
		evil,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + evil,
		"HTTP/1.1 200 OK\r\n\r\n" + evil,
		"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\n" + evil,
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			w := newWire(t, wireOptions{halfClose: time.Hour}, originProbe{answer: answer}.hostile)
			got, orderly := w.talk("HEAD /first HTTP/1.1\r\n" + hostLine + "\r\n" + sentinel)
			all, err := strictResponses(got, []string{"HEAD", "GET"}, orderly)
			if err != nil || len(all) != 2 || !all[1].whole || all[1].body != "GET /sentinel" {
				t.Errorf("the client got %q, %v, want two answers", got, err)
			}
		})
	}
}
