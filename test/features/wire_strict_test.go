package features

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The reader of the probes. It shares nothing with the engine, knows one spelling of
// everything, and refuses the rest: what Cardea sends has to pass it to the last byte.

// A strictMessage is a request or a response.
type strictMessage struct {
	// line is the request line or the status line; method and target, or status, are
	// of it.
	line, method, target string
	status               int
	fields               []strictField
	body                 string
	trailers             []strictField
	// whole says that the message came to its end, untilClose that it was framed by the
	// end of the connection.
	whole, untilClose bool
}

type strictField struct{ name, value string }

func (m *strictMessage) values(name string) (all []string) {
	for _, f := range m.fields {
		if strings.EqualFold(f.name, name) {
			all = append(all, f.value)
		}
	}
	return all
}

var (
	strictRequestLine = regexp.MustCompile(`^([!#$%&'*+.^_|~0-9A-Za-z` + "`" + `-]+) (\*|/[\x21\x22\x24-\x7e]*) HTTP/1\.1$`)
	strictStatusLine  = regexp.MustCompile(`^HTTP/1\.1 ([1-5][0-9][0-9]) [\t\x20-\x7e]*$`)
	strictFieldLine   = regexp.MustCompile(`^([!#$%&'*+.^_|~0-9A-Za-z` + "`" + `-]+): ((?:[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?)?)$`)
	strictNumber      = regexp.MustCompile(`^(0|[1-9][0-9]{0,17})$`)
	strictSize        = regexp.MustCompile(`^(0|[1-9a-f][0-9a-f]{0,14})$`)
	// A host as it may be forwarded: a name or address with an optional port.
	strictHost = regexp.MustCompile(`^([0-9A-Za-z._~!$&'()*+;=%-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{0,5})?$`)
)

// strictRequests reads what an origin got. The last request may be cut.
func strictRequests(b string) (all []*strictMessage, err error) {
	for b != "" {
		m := &strictMessage{}
		lines, rest, ok := strictHead(b)
		if !ok {
			return append(all, m), nil
		}
		parts := strictRequestLine.FindStringSubmatch(lines[0])
		if parts == nil {
			return all, fmt.Errorf("request line %q", lines[0])
		}
		m.line, m.method, m.target = lines[0], parts[1], parts[2]
		if m.fields, err = strictFields(lines[1:]); err != nil {
			return all, err
		}
		if hosts := m.values("Host"); len(hosts) != 1 || !strictHost.MatchString(hosts[0]) {
			return all, fmt.Errorf("Host %q", hosts)
		}
		if b, err = m.content(rest, false); err != nil {
			return all, err
		}
		all = append(all, m)
	}
	return all, nil
}

// strictResponses reads what a client got in answer to requests by these methods. ended
// says that the connection came to an orderly end.
func strictResponses(b string, methods []string, ended bool) (all []*strictMessage, err error) {
	for b != "" {
		m := &strictMessage{}
		lines, rest, ok := strictHead(b)
		if !ok {
			return append(all, m), nil
		}
		parts := strictStatusLine.FindStringSubmatch(obsText(lines[0]))
		if parts == nil {
			return all, fmt.Errorf("status line %q", lines[0])
		}
		m.line = lines[0]
		m.status, _ = strconv.Atoi(parts[1])
		if m.fields, err = strictFields(lines[1:]); err != nil {
			return all, err
		}
		method := "GET"
		if len(methods) > 0 {
			method = methods[0]
		}
		all = append(all, m)
		switch {
		case m.status == 101:
			m.whole, m.body = true, rest
			return all, nil
		case m.status < 200:
			if m.values("Content-Length") != nil || m.values("Transfer-Encoding") != nil {
				return all, fmt.Errorf("interim response with framing: %q", lines)
			}
			m.whole, b = true, rest
			continue
		case method == "HEAD" || m.status == 204 || m.status == 304:
			if m.status == 204 && (m.values("Content-Length") != nil || m.values("Transfer-Encoding") != nil) {
				return all, fmt.Errorf("204 with framing: %q", lines)
			}
			m.whole, b = true, rest
		case m.values("Content-Length") == nil && m.values("Transfer-Encoding") == nil:
			m.untilClose, m.whole, m.body, b = true, ended, rest, ""
		default:
			if b, err = m.content(rest, true); err != nil {
				return all, err
			}
		}
		if len(methods) > 0 {
			methods = methods[1:]
		}
	}
	return all, nil
}

// obsText writes x for every byte beyond ASCII behind the first colon or space: that is
// obs-text, which may stand in values and reason phrases (RFC 9110 §5.5) and nowhere else.
func obsText(s string) string {
	b := []byte(s)
	for i := max(0, strings.IndexAny(s, ": ")); i < len(b); i++ {
		if b[i] >= 0x80 {
			b[i] = 'x'
		}
	}
	return string(b)
}

// strictHead cuts b behind the head.
func strictHead(b string) (lines []string, rest string, ok bool) {
	head, rest, ok := strings.Cut(b, "\r\n\r\n")
	return strings.Split(head, "\r\n"), rest, ok
}

func strictFields(lines []string) (fields []strictField, err error) {
	for _, l := range lines {
		parts := strictFieldLine.FindStringSubmatch(obsText(l))
		if parts == nil {
			return nil, fmt.Errorf("field line %q", l)
		}
		fields = append(fields, strictField{parts[1], l[len(parts[1])+2:]})
	}
	return fields, nil
}

// content takes the body off b.
func (m *strictMessage) content(b string, response bool) (rest string, err error) {
	lengths, codings := m.values("Content-Length"), m.values("Transfer-Encoding")
	switch {
	case len(lengths)+len(codings) > 1:
		return "", fmt.Errorf("%d Content-Length and %d Transfer-Encoding", len(lengths), len(codings))
	case len(lengths) == 1:
		if !strictNumber.MatchString(lengths[0]) {
			return "", fmt.Errorf("Content-Length %q", lengths[0])
		}
		n, _ := strconv.Atoi(lengths[0])
		if len(b) < n {
			m.body = b
			return "", nil
		}
		m.whole, m.body = true, b[:n]
		return b[n:], nil
	case len(codings) == 0 && !response:
		m.whole = true
		return b, nil
	case codings[0] != "chunked":
		return "", fmt.Errorf("Transfer-Encoding %q", codings[0])
	}
	for {
		line, after, ok := strings.Cut(b, "\r\n")
		if !ok {
			return "", nil
		}
		if !strictSize.MatchString(line) {
			return "", fmt.Errorf("chunk size %q", line)
		}
		n, _ := strconv.ParseInt(line, 16, 64)
		if n == 0 {
			return m.trailer(after)
		}
		if int64(len(after)) < n+2 {
			m.body += after[:min(int64(len(after)), n)]
			return "", nil
		}
		if after[n:n+2] != "\r\n" {
			return "", fmt.Errorf("chunk that ends in %q", after[n:n+2])
		}
		m.body += after[:n]
		b = after[n+2:]
	}
}

func (m *strictMessage) trailer(b string) (rest string, err error) {
	if after, ok := strings.CutPrefix(b, "\r\n"); ok {
		m.whole = true
		return after, nil
	}
	lines, rest, ok := strictHead(b)
	if !ok {
		return "", nil
	}
	m.whole = true
	m.trailers, err = strictFields(lines)
	return rest, err
}

// The fields that Cardea takes away or writes itself, as docs/ingress.md and the tables
// of the proxy say; the probes hold that there are no others.
var (
	strictHop     = []string{"connection", "keep-alive", "proxy-connection", "proxy-authorization", "te", "transfer-encoding", "content-length", "upgrade", "http2-settings", "proxy", "x-request-id"}
	strictClaimed = []string{"forwarded", "x-real-ip", "x-scheme"}
	strictAdded   = []string{"x-request-id", "x-real-ip", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-forwarded-scheme", "x-scheme", "x-original-host"}
)

// strictKept returns the fields of a client's request that have to reach the origin.
func strictKept(in *strictMessage) (kept []strictField) {
	var listed []string
	for _, v := range in.values("Connection") {
		for o := range strings.SplitSeq(v, ",") {
			listed = append(listed, strings.ToLower(strings.TrimSpace(o)))
		}
	}
	for _, f := range in.fields {
		name := strings.ToLower(f.name)
		switch {
		case slices.Contains(strictHop, name), slices.Contains(strictClaimed, name), slices.Contains(listed, name),
			strings.Contains(name, "_"), strings.HasPrefix(name, "x-forwarded-"), strings.HasPrefix(name, "x-original-"), strings.HasPrefix(name, "ssl-client-"),
			name == "expect" && (strings.HasSuffix(in.line, "1.0") || in.body == "" && in.trailers == nil):
			continue
		case name == "max-forwards" && in.method == "OPTIONS":
			if n, err := strconv.Atoi(f.value); err == nil && n > 0 {
				f.value = strconv.Itoa(n - 1)
			}
		}
		kept = append(kept, f)
	}
	return kept
}

// strictAdditions checks what a forwarded request has beyond the fields of the client,
// and returns the latter.
func strictAdditions(got *strictMessage) (kept []strictField, err error) {
	seen := make(map[string]int)
	for _, f := range got.fields {
		name := strings.ToLower(f.name)
		switch {
		case slices.Contains(strictAdded, name):
			seen[name]++
		case name == "content-length", name == "transfer-encoding":
		case name == "connection" && (f.value == "Upgrade" || f.value == "TE"), name == "upgrade", name == "te" && f.value == "trailers":
		case name == "x-original-forwarded-for":
		default:
			kept = append(kept, f)
		}
	}
	for _, name := range strictAdded {
		if n := seen[name]; n != 1 && (n > 1 || !strings.HasSuffix(name, "-host")) {
			return kept, fmt.Errorf("%s is there %d times", name, n)
		}
	}
	if v := got.values("X-Forwarded-For"); v[0] != "127.0.0.1" {
		return kept, fmt.Errorf("X-Forwarded-For = %q", v)
	}
	return kept, nil
}
