package manifest

import (
	"bytes"
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
	tree   plainTree
}

const (
	// maxDepth bounds the recursion of a plain, maxKeys what it compares the keys of
	// a mapping with.
	maxDepth = 64
	maxKeys  = 256
)

// plainJSON returns one YAML document as JSON and as a tree, or false where the
// parser has to look.
func plainJSON(text []byte) (out []byte, root plainTree, ok bool) {
	for _, c := range text {
		if (c < ' ' || c > '~') && c != '\n' {
			return nil, nil, false
		}
	}
	p := plain{
		rest: string(bytes.TrimPrefix(text, []byte("---\n"))),
		tree: make(plainTree, 1, bytes.Count(text, []byte("\n"))+2),
	}
	if !p.next() || p.text == "" || p.indent != 0 || !p.mapping(0) || p.text != "" {
		return nil, nil, false
	}
	return p.tree.json(make([]byte, 0, len(text)+len(text)/8), 0), p.tree, true
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

// mapping reads the mapping that the current line begins, as node n.
func (p *plain) mapping(n int32) bool {
	if p.depth++; p.depth > maxDepth {
		return false
	}
	indent, keys := p.indent, 0
	p.tree[n].kind = plainMapping
	for p.indent == indent && !item(p.text) {
		key, value, ok := strings.Cut(p.text, ":")
		if keys++; !ok || !isKey(key) || keys > maxKeys {
			return false
		}
		k, ok := p.tree.entry(n, key)
		switch {
		case !ok:
			return false
		case value == "":
			ok = p.below(k, indent)
		default:
			ok = p.tree.value(k, value) && p.next()
		}
		if !ok {
			return false
		}
	}
	p.depth--
	return p.indent < indent || p.indent == indent && item(p.text)
}

// below reads what belongs to a key that has nothing behind it on its line, as node
// n: a mapping that is indented more, a sequence that is not indented less, or null.
func (p *plain) below(n int32, indent int) bool {
	switch {
	case !p.next():
		return false
	case p.indent >= indent && item(p.text):
		return p.sequence(n, indent)
	case p.indent > indent:
		// A sequence cannot follow a mapping at its own indentation.
		return p.mapping(n) && p.indent <= indent
	}
	return true
}

// sequence reads the sequence that the current line begins, as node n. Its key is at
// parent.
func (p *plain) sequence(n int32, parent int) bool {
	if p.depth++; p.depth > maxDepth {
		return false
	}
	indent := p.indent
	p.tree[n].kind = plainList
	last := int32(0)
	for p.indent == indent && item(p.text) {
		text := p.text[len("- "):]
		last = p.tree.element(n, last)
		var ok bool
		if key, _, is := strings.Cut(text, ":"); is && isKey(key) {
			p.indent, p.text = indent+len("- "), text
			ok = p.mapping(last) && p.indent <= indent
		} else {
			ok = p.tree.value(last, " "+text) && p.next()
		}
		if !ok {
			return false
		}
	}
	p.depth--
	return p.indent <= parent
}

func item(text string) bool { return strings.HasPrefix(text, "- ") }

// isKey reports whether text is a key that is a string and needs no quotes.
func isKey(text string) bool {
	const longest = 128 // the parser takes no key of more than 1,024
	return len(text) <= longest && isWord(text) && text[0] != '/'
}

// value reads what is behind the colon of a key, as node n.
func (t *plainTree) value(n int32, text string) bool {
	text, ok := strings.CutPrefix(text, " ")
	if !ok || text == "" {
		return false
	}
	inner, ok := strings.CutPrefix(text, "[")
	if !ok {
		return (*t)[n].scalar(text)
	}
	if inner, ok = strings.CutSuffix(inner, "]"); !ok {
		return false
	}
	(*t)[n].kind = plainList
	last := int32(0)
	for inner != "" {
		var s string
		s, inner, ok = strings.Cut(inner, ", ")
		if ok && inner == "" || strings.ContainsAny(s, ",[]{}") {
			return false
		}
		last = t.element(n, last)
		if !(*t)[last].scalar(s) {
			return false
		}
	}
	return true
}

// scalar makes n what text says.
func (n *plainNode) scalar(text string) bool {
	n.kind, n.text = plainString, text
	switch {
	case text == "true", text == "false":
		n.kind = plainLiteral
		return true
	case isWord(text):
		return true
	case len(text) >= 2 && (text[0] == '"' || text[0] == '\'') && text[len(text)-1] == text[0]:
		n.text = text[1 : len(text)-1]
		return !strings.ContainsAny(n.text, `"'\`)
	}
	// Other bases begin with 0; what is longer may be no int.
	n.kind = plainLiteral
	_, err := strconv.Atoi(text)
	return err == nil && len(text) < 10 && text[0] >= '1' && text[0] <= '9'
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
