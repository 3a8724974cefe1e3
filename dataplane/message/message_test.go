package message

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func fieldsOf(lines ...string) *Fields {
	var f Fields
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		f.AddName(name, value)
	}
	return &f
}

func linesOf(f *Fields) []string {
	var lines []string
	for l := range f.All() {
		lines = append(lines, string(l.Name)+": "+string(l.Value))
	}
	return lines
}

func TestStripHopByHop(t *testing.T) {
	for _, test := range []struct {
		rule     string
		in, want []string
	}{
		{"nothing to strip", []string{"Host: a", "X: y"}, []string{"Host: a", "X: y"}},
		{"the well-known ones", []string{
			"Connection: keep-alive", "Host: a", "Keep-Alive: 5", "Proxy-Connection: x", "TE: trailers",
			"Transfer-Encoding: chunked", "Upgrade: h2c", "HTTP2-Settings: x", "Proxy-Authorization: x",
		}, []string{"Host: a"}},
		{"Trailer stays", []string{"Trailer: X"}, []string{"Trailer: X"}},
		{"those that Connection names", []string{"X-A: 1", "Connection: x-a, X-B", "X-B: 2", "X-C: 3", "x-A: 4"}, []string{"X-C: 3"}},
		{"those of several Connection lines", []string{"Connection: close", "X-A: 1", "Connection: x-a", "X-B: 2", "Connection: x-b"}, nil},
		{"an interned one", []string{"Connection: Referer", "Referer: x", "Accept: y"}, []string{"Accept: y"}},
		{"but not what is end to end", []string{"Connection: Host, content-length, Cookie", "Host: a", "Content-Length: 3", "Cookie: c"}, []string{"Host: a", "Content-Length: 3", "Cookie: c"}},
		{"empty elements and white space", []string{"Connection: , \tX-A ,,", "X-A: 1"}, nil},
	} {
		t.Run(test.rule, func(t *testing.T) {
			f := fieldsOf(test.in...)
			f.StripHopByHop()
			if diff := cmp.Diff(test.want, linesOf(f)); diff != "" {
				t.Errorf("StripHopByHop (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLookup(t *testing.T) {
	for id := Other + 1; id < numIDs; id++ {
		name := id.String()
		for _, s := range []string{name, strings.ToUpper(name), strings.ToLower(name)} {
			if got := Lookup([]byte(s)); got != id {
				t.Errorf("Lookup(%q) = %v, want %v", s, got, id)
			}
		}
		if got := Lookup([]byte(name + "x")); got == id {
			t.Errorf("Lookup(%qx) = %v", name, got)
		}
	}
	for _, s := range []string{"", "X", "Hosts", strings.Repeat("x", 100)} {
		if got := Lookup([]byte(s)); got != Other {
			t.Errorf("Lookup(%q) = %v, want Other", s, got)
		}
	}
}

// TestValidText compares the word by word check with the plain one, for every
// byte at every place.
func TestValidText(t *testing.T) {
	for n := range 20 {
		for at := range n {
			for c := range 256 {
				for _, fill := range []byte{'a', 0xff, 0x80, ' ', '\t', '~'} {
					b := bytes.Repeat([]byte{fill}, n)
					b[at] = byte(c)
					if got, want := ValidText(b), validBytes(b); got != want {
						t.Fatalf("ValidText(%q) = %v, want %v", b, got, want)
					}
				}
			}
		}
	}
}

func TestParseLength(t *testing.T) {
	for s, want := range map[string]int64{"0": 0, "70": 70, "9223372036854775807": 1<<63 - 1} {
		if got, ok := ParseLength([]byte(s)); !ok || got != want {
			t.Errorf("ParseLength(%q) = %d, %v, want %d", s, got, ok, want)
		}
	}
	for _, s := range []string{"", "-1", "+1", " 1", "1 ", "0x1", "1,1", "00", "010", "9223372036854775808", "9999999999999999999", "99999999999999999999"} {
		if got, ok := ParseLength([]byte(s)); ok {
			t.Errorf("ParseLength(%q) = %d, want none", s, got)
		}
	}
}

func TestFields(t *testing.T) {
	f := fieldsOf("Host: a", "X: 1", "x: 2", "Accept: b", "Accept: c")
	if got := string(f.Named("X")); got != "1" {
		t.Errorf("Named(X) = %q, want the first", got)
	}
	f.Set(Accept, "d")
	f.Set(Referer, "e")
	f.Del(Host)
	f.AddCopy(Other, []byte("Y"), []byte("f"))
	want := []string{"X: 1", "x: 2", "Accept: d", "Referer: e", "Y: f"}
	if diff := cmp.Diff(want, linesOf(f)); diff != "" {
		t.Errorf("after Set, Del and AddCopy (-want +got):\n%s", diff)
	}
	f.Filter(func(l *Field) bool { return l.ID == Other })
	if f.Len() != 3 || f.Has(Accept) || f.Count(Other) != 3 {
		t.Errorf("after Filter: %q", linesOf(f))
	}
	f.Reset()
	if f.Len() != 0 {
		t.Errorf("after Reset: %q", linesOf(f))
	}
}

func TestMayTrail(t *testing.T) {
	for name, want := range map[string]bool{
		"grpc-status": true, "ETag": true, "Server-Timing": true, "X-Checksum": true,
		"Content-Length": false, "transfer-encoding": false, "Host": false, "Authorization": false,
		"Set-Cookie": false, "content-range": false, "If-Match": false, "X-Forwarded-For": false, "TE": false,
	} {
		if got := MayTrail(Lookup([]byte(name)), []byte(name)); got != want {
			t.Errorf("MayTrail(%q) = %v, want %v", name, got, want)
		}
	}
}

func BenchmarkStripHopByHop(b *testing.B) {
	src := fieldsOf("Host: a", "User-Agent: b", "Accept: c", "Accept-Language: d", "Accept-Encoding: e",
		"Connection: keep-alive, X-Gone", "Cookie: f", "X-Gone: g", "Cache-Control: h", "X-Kept: i")
	var f Fields
	b.ReportAllocs()
	for b.Loop() {
		f.Reset()
		for l := range src.All() {
			f.Append(l.ID, l.Name, l.Value)
		}
		f.StripHopByHop()
	}
}
