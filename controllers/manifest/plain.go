package manifest

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// Most manifests use little of YAML: block mappings and sequences with a short
// scalar on the same line. Reading those needs no YAML parser, which costs more
// than all else that is done to a Secret, because it looks at every character of
// a certificate several times.
//
// A plain reads that part of YAML and nothing else. Whatever it does not know for
// sure, and everything that is wrong, it leaves to the parser: an anchor, a tag, a
// block scalar, a flow mapping, an escape, a comment behind a value, a duplicate
// key, a character outside of ASCII. So all errors are the parser's. What it does
// read gives the very JSON that the parser's result gives; FuzzPlain compares them.
//
// One line is
//
//	indent *( "- " ) [ key ":" ] [ " " scalar ]
//
// with at most one "- ".
type plain struct {
	rest string
	// indent and text are the current line, without its indentation; text is "" at
	// the end.
	indent int
	text   string
	depth  int
}

// maxDepth bounds the recursion of a plain.
const maxDepth = 64

// plainJSON returns one YAML document as JSON and as a tree, or false where the
// parser has to look.
func plainJSON(text []byte) (out []byte, root map[string]any, ok bool) {
	for _, c := range text {
		if (c < ' ' || c > '~') && c != '\n' {
			return nil, nil, false
		}
	}
	p := plain{rest: string(bytes.TrimPrefix(text, []byte("---\n")))}
	if !p.next() || p.text == "" || p.indent != 0 {
		return nil, nil, false
	}
	root, ok = p.mapping()
	if !ok || p.text != "" {
		return nil, nil, false
	}
	out, err := json.Marshal(root)
	return out, root, err == nil
}

// next goes to the next line that is neither empty nor a comment. It reports false
// for a line of spaces.
func (p *plain) next() bool {
	for p.rest != "" {
		var line string
		line, p.rest, _ = strings.Cut(p.rest, "\n")
		if line == "" {
			continue
		}
		p.text = strings.TrimLeft(line, " ")
		p.indent = len(line) - len(p.text)
		if p.text == "" {
			return false
		}
		if p.text[0] != '#' {
			return true
		}
	}
	p.indent, p.text = -1, ""
	return true
}

// mapping reads the mapping that the current line begins.
func (p *plain) mapping() (map[string]any, bool) {
	if p.depth++; p.depth > maxDepth {
		return nil, false
	}
	indent := p.indent
	m := make(map[string]any)
	for p.indent == indent && !item(p.text) {
		key, value, ok := strings.Cut(p.text, ":")
		if !ok || !isKey(key) {
			return nil, false
		}
		if _, twice := m[key]; twice {
			return nil, false
		}
		if value == "" {
			m[key], ok = p.below(indent)
		} else {
			m[key], ok = plainValue(value)
			ok = ok && p.next()
		}
		if !ok {
			return nil, false
		}
	}
	p.depth--
	return m, p.indent < indent || p.indent == indent && item(p.text)
}

// below reads what belongs to a key that has nothing behind it on its line: a
// mapping that is indented more, a sequence that is not indented less, or null.
func (p *plain) below(indent int) (any, bool) {
	switch {
	case !p.next():
		return nil, false
	case p.indent >= indent && item(p.text):
		return p.sequence(indent)
	case p.indent > indent:
		m, ok := p.mapping()
		// A sequence cannot follow a mapping at its own indentation.
		return m, ok && p.indent <= indent
	}
	return nil, true
}

// sequence reads the sequence that the current line begins. Its key is at parent.
func (p *plain) sequence(parent int) (any, bool) {
	if p.depth++; p.depth > maxDepth {
		return nil, false
	}
	indent := p.indent
	list := []any{}
	for p.indent == indent && item(p.text) {
		text := p.text[len("- "):]
		var value any
		var ok bool
		if key, _, is := strings.Cut(text, ":"); is && isKey(key) {
			p.indent, p.text = indent+len("- "), text
			value, ok = p.mapping()
			ok = ok && p.indent <= indent
		} else {
			value, ok = plainValue(" " + text)
			ok = ok && p.next()
		}
		if !ok {
			return nil, false
		}
		list = append(list, value)
	}
	p.depth--
	return list, p.indent <= parent
}

func item(text string) bool { return strings.HasPrefix(text, "- ") }

// isKey reports whether text is a key that is a string and needs no quotes.
func isKey(text string) bool {
	const longest = 128 // the parser takes no key of more than 1,024
	return len(text) <= longest && isWord(text) && text[0] != '/'
}

// plainValue reads what is behind the colon of a key.
func plainValue(text string) (any, bool) {
	text, ok := strings.CutPrefix(text, " ")
	if !ok || text == "" {
		return nil, false
	}
	inner, ok := strings.CutPrefix(text, "[")
	if !ok {
		return plainScalar(text)
	}
	if inner, ok = strings.CutSuffix(inner, "]"); !ok {
		return nil, false
	}
	list := []any{}
	for inner != "" {
		var s string
		s, inner, ok = strings.Cut(inner, ", ")
		if ok && inner == "" || strings.ContainsAny(s, ",[]{}") {
			return nil, false
		}
		v, ok := plainScalar(s)
		if !ok {
			return nil, false
		}
		list = append(list, v)
	}
	return list, true
}

func plainScalar(text string) (any, bool) {
	switch {
	case text == "true":
		return true, true
	case text == "false":
		return false, true
	case isWord(text):
		return text, true
	case len(text) >= 2 && (text[0] == '"' || text[0] == '\'') && text[len(text)-1] == text[0]:
		inner := text[1 : len(text)-1]
		return inner, !strings.ContainsAny(inner, `"'\`)
	}
	// Other bases begin with 0; what is longer may be no int.
	if n, err := strconv.Atoi(text); err == nil && len(text) < 10 && text[0] >= '1' && text[0] <= '9' {
		return n, true
	}
	return nil, false
}

// isWord reports whether text is an unquoted string that no YAML takes for
// anything else, in a flow sequence as well.
func isWord(text string) bool {
	if text == "" {
		return false
	}
	if c := text[0] | 0x20; text[0] != '/' && (c < 'a' || c > 'z') {
		return false
	}
	for i := range len(text) {
		if !wordByte[text[i]] {
			return false
		}
	}
	if len(text) <= len("false") {
		switch strings.ToLower(text) {
		case "y", "yes", "true", "on", "n", "no", "false", "off", "null":
			return false
		}
	}
	return true
}

var wordByte = func() (t [256]bool) {
	for _, c := range []byte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+=-") {
		t[c] = true
	}
	return t
}()
