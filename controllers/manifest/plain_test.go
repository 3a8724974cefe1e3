package manifest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	k8syaml "sigs.k8s.io/yaml"
)

// What is plain is read without the parser, and as the parser reads it; the rest
// is left to the parser.
func TestPlain(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		plain      bool
	}{
		{"mappings and sequences", "---\na:\n  b: c\n  d:\n  - e: 1\n    f:\n    - g\n    - /h\n  - i: true\n# j\nk:\n    - l\n\nn.o/p-q_r: s\n", true},
		{"nothing is null", "a:\nb:\n  c:\n", true},
		{"quoted", "a: \"*.example.com\"\nb: 'x: # y'\nc: \"\"\n", true},
		{"markup within quotes", "a: \"<b>&amp;\"\n", true},
		{"list on one line", "a: [\"b\", c, 2, false]\nd: []\n", true},
		{"list of objects", "kind: List\napiVersion: v1\nitems:\n- kind: Secret\n", true},
		{"head of other types", "kind: 1\napiVersion: [v1]\nmetadata: true\n", true},
		{"name of another type", "kind: Secret\nKind: Other\napiVersion: v1\nmetadata:\n  name: 1\n  namespace: shop\n", true},
		{"base64", "data:\n  tls.crt: LS0tLS1CRUdJTi+/a==\n", true},
		{"many keys", keys(maxKeys), true},
		{"too many keys", keys(maxKeys + 1), false},
		{"escape", "a: \"\\n\"\n", false},
		{"comment behind a value", "a: b # c\n", false},
		{"words that are booleans", "a: yes\n", false},
		{"key that is a boolean", "y: a\n", false},
		{"null", "a: null\n", false},
		{"octal", "a: 010\n", false},
		{"fraction", "a: 1.5\n", false},
		{"date", "a: 2026-01-02\n", false},
		{"block scalar", "a: |\n  b\n", false},
		{"second line of a scalar", "a: b\n  c\n", false},
		{"mapping behind a scalar", "a: b\n  c: d\n", false},
		{"anchor", "a: &b c\n", false},
		{"tag", "a: !!str 1\n", false},
		{"merge", "<<: a\n", false},
		{"flow mapping", "a: {b: c}\n", false},
		{"duplicate", "a: b\na: c\n", false},
		{"tab", "a:\tb\n", false},
		{"no space", "a:b\n", false},
		{"indented less than its neighbours", "a:\n    b: c\n  d: e\n", false},
		{"sequence behind a mapping", "a:\n  b: c\n  - d\n", false},
		{"sequence at two indentations", "a:\n  - b\n- c\n", false},
		{"sequence in a sequence", "a:\n- - b\n", false},
		{"two documents in one", "a: b\n...\nc: d\n", false},
		{"not ASCII", "a: \u00e9\n", false},
		{"empty", "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := samePlain(t, tc.text); got != tc.plain {
				t.Errorf("plainJSON(%q) = %t, want %t", tc.text, got, tc.plain)
			}
		})
	}
}

func FuzzPlain(f *testing.F) {
	f.Add(hostFile(1))
	f.Add(service("web", 80))
	f.Add("a:\n- b: c\n  d:\n  - e\n  f: [g, \"h\"]\ni: 1\n")
	f.Add("---\na: 'b'\n# c\nd:\n  e: true\n  f:\n    - g\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, c := range split([]byte(text)) {
			samePlain(t, string(c.text))
		}
	})
}

// samePlain reports whether text is plain, and compares it with the parser's.
func samePlain(t *testing.T, text string) bool {
	t.Helper()
	got, root, ok := plainJSON([]byte(text))
	if !ok {
		return false
	}
	want, err := k8syaml.YAMLToJSONStrict([]byte(text))
	if err != nil || string(got) != string(want) {
		t.Errorf("plainJSON(%q) = %s, want %s, %v", text, got, want, err)
	}
	plain, parsed := (&document{json: got, root: root}).head(), (&document{json: want}).head()
	if diff := cmp.Diff(parsed, plain); diff != "" {
		t.Errorf("head of %q (-parsed +plain):\n%s", text, diff)
	}
	return true
}

// keys returns a mapping with n keys in no order.
func keys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "k%d: v\n", i*7%n)
	}
	return b.String()
}
