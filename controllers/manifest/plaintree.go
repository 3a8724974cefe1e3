package manifest

// A plainTree is a document that a plain has read. The first node is the root. The
// nodes are in one list, so that thousands of documents leave no small pieces of
// memory behind, between which what is kept of them would lie scattered.
type plainTree []plainNode

// A plainNode is a value. Those of a mapping are in the order of their keys.
type plainNode struct {
	kind plainKind
	// key is that of an entry of a mapping.
	key string
	// text is that of a string or literal.
	text string
	// first is the first value in a mapping or list, next the one that follows this
	// one where it is; 0 if there is none.
	first, next int32
}

type plainKind uint8

const (
	_ plainKind = iota // null
	// plainLiteral is a number or truth value, as JSON writes it.
	plainLiteral
	plainString
	plainList
	plainMapping
)

// entry adds an entry to the mapping n, and reports false if it has the key already.
func (t *plainTree) entry(n int32, key string) (int32, bool) {
	nodes := *t
	before, at := int32(-1), nodes[n].first
	for at != 0 && nodes[at].key < key {
		before, at = at, nodes[at].next
	}
	if at != 0 && nodes[at].key == key {
		return 0, false
	}
	added := int32(len(nodes))
	*t = append(nodes, plainNode{key: key, next: at})
	if before < 0 {
		(*t)[n].first = added
	} else {
		(*t)[before].next = added
	}
	return added, true
}

// element adds an element to the list n behind last, which is 0 for the first.
func (t *plainTree) element(n, last int32) int32 {
	added := int32(len(*t))
	*t = append(*t, plainNode{})
	if last == 0 {
		(*t)[n].first = added
	} else {
		(*t)[last].next = added
	}
	return added
}

// find returns the node with key in the mapping n, 0 if there is none.
func (t plainTree) find(n int32, key string) int32 {
	if t[n].kind != plainMapping {
		return 0
	}
	for at := t[n].first; at != 0; at = t[at].next {
		if t[at].key == key {
			return at
		}
	}
	return 0
}

// string returns the string with key in the mapping n, "" if it is none.
func (t plainTree) string(n int32, key string) string {
	if at := t.find(n, key); at != 0 && t[at].kind == plainString {
		return t[at].text
	}
	return ""
}

// json appends node n as encoding/json writes it.
func (t plainTree) json(out []byte, n int32) []byte {
	switch t[n].kind {
	case plainLiteral:
		return append(out, t[n].text...)
	case plainString:
		return appendString(out, t[n].text)
	case plainList:
		return t.all(append(out, '['), n, ']')
	case plainMapping:
		return t.all(append(out, '{'), n, '}')
	}
	return append(out, "null"...)
}

// all appends what is in the mapping or list n, and end.
func (t plainTree) all(out []byte, n int32, end byte) []byte {
	for at := t[n].first; at != 0; at = t[at].next {
		if at != t[n].first {
			out = append(out, ',')
		}
		if t[n].kind == plainMapping {
			out = append(appendString(out, t[at].key), ':')
		}
		out = t.json(out, at)
	}
	return append(out, end)
}

// appendString appends a string of printable ASCII without quotes and backslashes.
func appendString(out []byte, s string) []byte {
	const hex = "0123456789abcdef"
	out = append(out, '"')
	start := 0
	for i := range len(s) {
		if c := s[i]; c == '<' || c == '>' || c == '&' { // for JSON within HTML
			out = append(append(out, s[start:i]...), '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			start = i + 1
		}
	}
	return append(append(out, s[start:]...), '"')
}
