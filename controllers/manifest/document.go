package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	k8syaml "sigs.k8s.io/yaml"
)

// A document is one YAML or JSON document of a file, as JSON and with the line of
// every field.
type document struct {
	json []byte
	// root is the same as a tree if the document is plain, else nil.
	root plainTree
	// line of the document's first line in the file.
	line int
	// locate finds the lines of all fields. It is called for the first problem
	// alone: most documents have none, and finding them costs as much as reading.
	locate func() lines
	lines  lines
}

// lines maps a field path ("spec.rules[0].host") to its line in the file.
type lines map[string]int

// of returns the line of path, or of the nearest field above it that is written
// down, or else the line of the document.
func (d *document) of(path string) int {
	all := d.all()
	for {
		if n, ok := all[path]; ok {
			return n
		}
		cut := strings.LastIndexAny(path, ".[")
		if strings.HasSuffix(path, "]") { // a key in brackets may hold dots
			cut = strings.LastIndexByte(path, '[')
		}
		if cut < 0 {
			return d.line
		}
		path = path[:cut]
	}
}

// all returns the lines of all fields.
func (d *document) all() lines {
	if d.lines == nil {
		d.lines = d.locate()
	}
	return d.lines
}

// A syntaxError is a document that cannot be read.
type syntaxError struct {
	line int
	text string
}

func (e *syntaxError) Error() string { return e.text }

// A chunk is the text of one YAML document.
type chunk struct {
	text []byte
	line int
}

// split cuts content before every line that starts a document. Such a line begins
// with three hyphens at the left margin, even within a block scalar (YAML 1.2
// §9.1.2), so that no parser is needed to find it.
func split(content []byte) []chunk {
	content = bytes.TrimPrefix(content, []byte("\xef\xbb\xbf"))
	var chunks []chunk
	start, startLine, line := 0, 1, 1
	for at := 0; at < len(content); line++ {
		next := len(content)
		if i := bytes.IndexByte(content[at:], '\n'); i >= 0 {
			next = at + i + 1
		}
		if marker(content[at:next]) && at > start {
			chunks = append(chunks, chunk{content[start:at], startLine})
			start, startLine = at, line
		}
		at = next
	}
	return append(chunks, chunk{content[start:], startLine})
}

func marker(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("---"))
	return ok && (len(rest) == 0 || rest[0] == ' ' || rest[0] == '\t' || rest[0] == '\r' || rest[0] == '\n')
}

// parseYAML reads one document. The values are read as kubectl reads them, by
// sigs.k8s.io/yaml (YAML 1.1: yes and no are booleans), or faster and with the same result where they
// are plain; the node tree of yaml/v3 is asked for the lines alone.
func parseYAML(c chunk) (*document, *syntaxError) {
	text, root, ok := plainJSON(c.text)
	if !ok {
		var err error
		if text, err = k8syaml.YAMLToJSONStrict(c.text); err != nil {
			return nil, yamlError(c, err)
		}
	}
	if string(text) == "null" {
		return nil, nil
	}
	return &document{json: text, root: root, line: firstLine(c), locate: func() lines {
		l := lines{}
		var root yaml.Node
		if yaml.Unmarshal(c.text, &root) == nil {
			l.node("", &root, c.line-1)
		}
		return l
	}}, nil
}

// firstLine is the first line of c that holds more than a comment or a marker.
func firstLine(c chunk) int {
	at := c.line
	for l := range bytes.Lines(c.text) {
		l = bytes.TrimSpace(l)
		if len(l) > 0 && l[0] != '#' && !marker(l) {
			return at
		}
		at++
	}
	return c.line
}

var yamlLine = regexp.MustCompile(`line (\d+): `)

func yamlError(c chunk, err error) *syntaxError {
	text := err.Error()
	for _, cut := range []string{"error converting YAML to JSON: ", "yaml: ", "unmarshal errors:\n  "} {
		text = strings.TrimPrefix(text, cut)
	}
	line := c.line
	if m := yamlLine.FindStringSubmatchIndex(text); m != nil {
		n, _ := strconv.Atoi(text[m[2]:m[3]])
		line += n - 1
		text = text[:m[0]] + text[m[1]:]
	}
	text, _, _ = strings.Cut(text, "\n")
	return &syntaxError{line, text}
}

func (l lines) node(path string, n *yaml.Node, shift int) {
	if n.Line > 0 {
		if _, ok := l[path]; !ok {
			l[path] = n.Line + shift
		}
	}
	switch n.Kind {
	case yaml.DocumentNode:
		for _, c := range n.Content {
			l.node(path, c, shift)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			k := n.Content[i]
			p := child(path, k.Value)
			l[p] = k.Line + shift
			l.node(p, n.Content[i+1], shift)
		}
	case yaml.SequenceNode:
		for i, c := range n.Content {
			p := index(path, i)
			l[p] = c.Line + shift
			l.node(p, c, shift)
		}
	case yaml.ScalarNode, yaml.AliasNode:
		// An alias is written elsewhere; errors within it get the alias's line.
	}
}

func child(path, key string) string {
	switch {
	case strings.ContainsAny(key, "./"):
		return path + "[" + key + "]"
	case path == "":
		return key
	}
	return path + "." + key
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// parseJSON reads a sequence of JSON values.
func parseJSON(content []byte) (docs []*document, errs []*syntaxError) {
	dec := json.NewDecoder(bytes.NewReader(content))
	for {
		var raw json.RawMessage
		err := dec.Decode(&raw)
		if err == io.EOF {
			return docs, nil
		}
		if err != nil {
			return docs, []*syntaxError{jsonError(content, dec.InputOffset(), err)}
		}
		start := int(dec.InputOffset()) - len(raw)
		docs = append(docs, &document{json: raw, line: lineAt(content, start), locate: func() lines {
			l := lines{}
			walkJSON(raw, func(path string, offset int) bool {
				l[path] = lineAt(content, start+offset)
				return true
			})
			return l
		}})
	}
}

func jsonError(content []byte, offset int64, err error) *syntaxError {
	if s, ok := errors.AsType[*json.SyntaxError](err); ok {
		// Offset counts from the start of the value for a Decoder.
		return &syntaxError{lineAt(content, int(min(s.Offset, int64(len(content))))), s.Error()}
	}
	if err == io.ErrUnexpectedEOF {
		return &syntaxError{lineAt(content, len(content)), "unexpected end of file"}
	}
	return &syntaxError{lineAt(content, int(offset)), err.Error()}
}

func lineAt(content []byte, offset int) int {
	return 1 + bytes.Count(content[:min(offset, len(content))], []byte("\n"))
}

// walkJSON calls visit for every field of text, in order, with the offset where
// its value ends or, for an object or array, begins. It stops when visit returns
// false.
func walkJSON(text []byte, visit func(path string, offset int) bool) {
	dec := json.NewDecoder(bytes.NewReader(text))
	var value func(path string) bool
	value = func(path string) bool {
		t, err := dec.Token()
		if err != nil || !visit(path, int(dec.InputOffset())) {
			return false
		}
		switch t {
		case json.Delim('{'):
			for dec.More() {
				k, err := dec.Token()
				if err != nil || !value(child(path, fmt.Sprint(k))) {
					return false
				}
			}
			_, err = dec.Token()
		case json.Delim('['):
			for i := 0; dec.More(); i++ {
				if !value(index(path, i)) {
					return false
				}
			}
			_, err = dec.Token()
		}
		return err == nil
	}
	value("")
}

// pathAt returns the path of the field of text that holds offset.
func pathAt(text []byte, offset int) string {
	var at string
	walkJSON(text, func(path string, o int) bool {
		at = path
		return o < offset
	})
	return at
}
