package features

import (
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The probes play raw bytes through a running data plane to an origin that records
// what it gets. Each row says what has to come of it; over and above that the same
// invariants are held for all of them:
//
//   - a request that came in went out once or not at all, and never in part as a whole;
//   - what went out, and what came back, passes a strict reader of its own to the last
//     byte, and a body that was cut does not look whole;
//   - its fields are the client's, in their order, less and more the documented ones;
//   - answers come in the order of their requests and belong to them;
//   - nothing is a tunnel without 101.

// A probe is one row about a request.
type probe struct {
	// name says what is odd about it, rule which sentence decides.
	name, rule string
	// in is sent at once, with sentinel behind it, and then the sending half is closed.
	in string
	// want are the statuses of the answers, in order, that of sentinel included if the
	// connection has to outlive the request. "200*" is an answer of Cardea's own.
	want string
}

const sentinel = "GET /sentinel HTTP/1.1\r\nHost: a.example\r\n\r\n"

// echoing answers every request with its method and target.
func echoing(c *originConn) {
	for head := c.head(); head != ""; head = c.head() {
		c.body(head)
		method, rest, _ := strings.Cut(head, " ")
		target, _, _ := strings.Cut(rest, " ")
		text := method + " " + target
		answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nX-Answers: %s\r\nContent-Length: %d\r\n\r\n", target, len(text))
		if method != "HEAD" {
			answer += text
		}
		c.send(answer)
	}
}

// talk sends in, closes the sending half and returns what comes until the end. orderly
// says that the end was not a reset.
func (w *wire) talk(in string) (got string, orderly bool) {
	w.t.Helper()
	c := w.dial()
	defer c.Close()
	c.send(in)
	_ = c.Conn.(*net.TCPConn).CloseWrite()
	b, err := io.ReadAll(c.r)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		w.t.Errorf("the connection hangs after %.300q", b)
	}
	return string(b), err == nil
}

// run plays p.
func (p probe) run(t *testing.T) {
	w := newWire(t, wireOptions{halfClose: time.Hour}, echoing)
	got, orderly := w.talk(p.in + sentinel)
	sent := looseRequests(p.in + sentinel)
	var methods []string
	for _, m := range sent {
		methods = append(methods, m.method)
	}
	answers, err := strictResponses(got, methods, orderly)
	if err != nil {
		t.Fatalf("the client got %q: %v", got, err)
	}
	var statuses []string
	var forwarded []int // indices of answers that the origin has to have given
	for i, a := range answers {
		own := a.values("X-Answers") == nil
		status := strconv.Itoa(a.status)
		if own && a.status == 200 {
			status += "*"
		}
		statuses = append(statuses, status)
		if !own {
			forwarded = append(forwarded, i)
		}
		if !a.whole {
			t.Errorf("answer %d is cut: %q", i, got)
		}
	}
	if s := strings.Join(statuses, " "); s != p.want {
		t.Errorf("answers %q, want %q\n sent %.300q\n got %.600q", s, p.want, p.in, got)
	}
	w.checkForwarded(sent, answers, forwarded)
}

// checkForwarded compares what the origin got with what the client sent.
func (w *wire) checkForwarded(sent, answers []*strictMessage, forwarded []int) {
	w.t.Helper()
	var whole []*strictMessage
	for _, b := range w.origin.got() {
		got, err := strictRequests(b)
		if err != nil {
			w.t.Errorf("the origin got %q: %v", b, err)
		}
		for _, m := range got {
			if m.whole {
				whole = append(whole, m)
			}
		}
	}
	if len(whole) != len(forwarded) {
		w.t.Fatalf("the origin got %d whole requests, want %d: %q", len(whole), len(forwarded), w.origin.got())
	}
	for n, i := range forwarded {
		out := whole[n]
		if i >= len(sent) {
			w.t.Fatalf("more answers than requests")
		}
		in := sent[i]
		if a := answers[i].values("X-Answers"); a[0] != out.target {
			w.t.Errorf("answer %d is of %q, want %q", i, a, out.target)
		}
		if in.method != out.method || in.body != out.body || !sameTarget(in.target, out.target) {
			w.t.Errorf("the origin got %s %q with %.100q, want %s %q with %.100q", out.method, out.target, out.body, in.method, in.target, in.body)
		}
		kept, err := strictAdditions(out)
		if err != nil {
			w.t.Errorf("the origin got %q: %v", w.origin.got(), err)
		}
		if want := strictKept(in); !slices.Equal(kept, want) {
			w.t.Errorf("the origin got the fields %q, want %q", kept, want)
		}
		for _, f := range out.trailers {
			if !slices.Contains(in.trailers, f) {
				w.t.Errorf("trailer %q was not sent", f)
			}
		}
	}
}

// sameTarget compares targets; where the path is not in its normal form, only as far as
// the query.
func sameTarget(in, out string) bool {
	if _, rest, ok := strings.Cut(in, "://"); ok {
		i := strings.IndexAny(rest, "/?")
		if i < 0 {
			return out == "/" || out == "*"
		}
		in = rest[i:]
		if in[0] == '?' {
			in = "/" + in
		}
	}
	inPath, inQuery, inHas := strings.Cut(in, "?")
	outPath, outQuery, outHas := strings.Cut(out, "?")
	plain := !strings.ContainsAny(inPath, "%<>\"{}|^`") && !strings.Contains(inPath, "/.")
	return inQuery == outQuery && inHas == outHas && (!plain || inPath == outPath)
}

var (
	looseLine  = regexp.MustCompile(`^(\S+) (\S+) HTTP/1\.[0-9]$`)
	looseField = regexp.MustCompile(`^([^:\s]+):[ \t]*(.*?)[ \t]*$`)
)

// looseRequests reads what a client sent, in the spellings that may be accepted, as far
// as it can be read.
func looseRequests(b string) (all []*strictMessage) {
	for {
		b = strings.TrimPrefix(b, "\r\n")
		lines, rest, ok := strictHead(b)
		if !ok {
			return all
		}
		m := &strictMessage{line: lines[0]}
		parts := looseLine.FindStringSubmatch(lines[0])
		if parts == nil {
			return all
		}
		m.method, m.target = parts[1], parts[2]
		for _, l := range lines[1:] {
			f := looseField.FindStringSubmatch(l)
			if f == nil {
				return append(all, m)
			}
			m.fields = append(m.fields, strictField{f[1], f[2]})
		}
		all = append(all, m)
		switch {
		case m.values("Transfer-Encoding") != nil:
			if b, ok = m.looseChunks(rest); !ok {
				return all
			}
		case m.values("Content-Length") != nil:
			n, err := strconv.Atoi(m.values("Content-Length")[0])
			if err != nil || n < 0 || n > len(rest) {
				return all
			}
			m.body, b = rest[:n], rest[n:]
		default:
			b = rest
		}
	}
}

func (m *strictMessage) looseChunks(b string) (rest string, ok bool) {
	for {
		line, after, _ := strings.Cut(b, "\r\n")
		line, _, _ = strings.Cut(line, ";")
		n, err := strconv.ParseInt(strings.TrimRight(line, " \t"), 16, 64)
		switch {
		case err != nil || n < 0 || n+2 > int64(len(after)):
			return "", false
		case n > 0:
			m.body += after[:n]
			b = after[n+2:]
			continue
		}
		if rest, ok := strings.CutPrefix(after, "\r\n"); ok {
			return rest, true
		}
		lines, rest, ok := strictHead(after)
		for _, l := range lines {
			if f := looseField.FindStringSubmatch(l); f != nil {
				m.trailers = append(m.trailers, strictField{f[1], f[2]})
			}
		}
		return rest, ok
	}
}

// TestWireProbes plays the rows about HTTP/1.1 requests.
func TestWireProbes(t *testing.T) {
	seen := make(map[string]bool)
	for kind, rows := range map[string][]probe{"compliance": complianceProbes(), "smuggling": smugglingProbes(), "malformed": malformedProbes()} {
		for _, p := range rows {
			if seen[p.name] || p.rule == "" {
				t.Errorf("%q: named twice, or without a rule", p.name)
			}
			seen[p.name] = true
			t.Run(kind+"/"+p.name, func(t *testing.T) {
				t.Parallel()
				p.run(t)
			})
		}
	}
	t.Logf("%d rows", len(seen))
}
