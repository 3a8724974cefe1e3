package snapshot

import (
	"bytes"
	"net/url"
	"strings"
	"testing"
)

func TestNormalizePath(t *testing.T) {
	tests := []struct{ rule, path, want string }{
		{"the root", "/", "/"},
		{"a plain path", "/a/b-c_d.e~f", "/a/b-c_d.e~f"},
		{"delimiters stay", "/a:@!$&'()*+,;=b", "/a:@!$&'()*+,;=b"},
		{"square brackets stay", "/pages/[slug]", "/pages/[slug]"},
		{"escaped square brackets stay escaped", "/pages/%5bslug%5D", "/pages/%5Bslug%5D"},
		{"unreserved escapes are decoded", "/%61%2D%2e%5F%7e%39", "/a-._~9"},
		{"other escapes go to upper case", "/%c3%a9%3f%23", "/%C3%A9%3F%23"},
		{"an escaped slash is no separator", "/a%2fb%2Fc", "/a%2Fb%2Fc"},
		{"an escaped backslash is no separator", "/a%5cb%5Cc", "/a%5Cb%5Cc"},
		{"non-ASCII octets are escaped", "/é", "/%C3%A9"},
		{"octets that no URI holds are escaped", "/a b\"<>^`{|}", "/a%20b%22%3C%3E%5E%60%7B%7C%7D"},
		{"an escaped escape stays escaped", "/%252e%252e/a", "/%252e%252e/a"},
		{"empty segments are kept", "//a///b//", "//a///b//"},
		{"a dot segment is removed", "/a/./b", "/a/b"},
		{"a dot segment at the end leaves a slash", "/a/.", "/a/"},
		{"only a dot segment", "/.", "/"},
		{"a double dot takes the segment before it", "/a/b/../c", "/a/c"},
		{"a double dot at the end leaves a slash", "/a/b/..", "/a/"},
		{"a double dot may reach the root", "/a/..", "/"},
		{"an escaped double dot is one", "/a/%2e%2E/b", "/b"},
		{"a half escaped double dot is one", "/a/.%2e/b", "/b"},
		{"a double dot takes an empty segment", "/a//../b", "/a/b"},
		{"a dot before an empty segment", "/.//a", "//a"},
		{"three dots are a name", "/a/.../b", "/a/.../b"},
		{"a hidden file is a name", "/.well-known/acme-challenge/x", "/.well-known/acme-challenge/x"},
		{"dots inside a name", "/a..b/..c/d..", "/a..b/..c/d.."},
		{"the example of RFC 3986 §5.2.4", "/a/b/c/./../../g", "/a/g"},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			got, err := NormalizePath(nil, []byte(test.path))
			if err != nil || string(got) != test.want {
				t.Errorf("NormalizePath(%q) = %q, %v, want %q", test.path, got, err, test.want)
			}
		})
	}
}

func TestNormalizePathRefuses(t *testing.T) {
	tests := []struct{ rule, path, want string }{
		{"nothing", "", "begin with a slash"},
		{"the asterisk form", "*", "begin with a slash"},
		{"a relative path", "a/b", "begin with a slash"},
		{"a lone percent sign", "/%", "two hex digits"},
		{"a short escape", "/a%2", "two hex digits"},
		{"an escape that is not hex", "/%zz", "two hex digits"},
		{"a sign in an escape", "/%+1", "two hex digits"},
		{"an escaped NUL", "/a%00.png", "NUL"},
		{"a NUL", "/a\x00", `'\x00'`},
		{"a control character", "/a\r\nb", `'\r'`},
		{"DEL", "/\x7f", `'\x7f'`},
		{"a fragment", "/a#b", "'#'"},
		{"a query", "/a?b", "'?'"},
		{"a backslash", `/a\..\b`, `'\\'`},
		{"a control character behind an escape", "/%41\n", `'\n'`},
		{"above the root", "/..", "above the root"},
		{"above the root later", "/a/../../b", "above the root"},
		{"above the root escaped", "/%2e%2e/b", "above the root"},
		{"a double dot with parameters", "/a/..;/b", "parameters"},
		{"a double dot with parameters escaped", "/a/%2e.;x=1/b", "parameters"},
		{"a dot with parameters", "/a/.;/b", "parameters"},
		{"a double dot before an escaped slash", "/a/..%2fb", "escaped"},
		{"a double dot behind an escaped slash", "/a/b%2F..", "escaped"},
		{"a double dot between escaped slashes", "/a/b%2F%2e%2E%2Fc", "escaped"},
		{"a dot before an escaped backslash", "/a/.%5Cb", "escaped"},
		{"a double dot with parameters before an escaped slash", "/a/b%2f..;x%2fc", "escaped"},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			got, err := NormalizePath(nil, []byte(test.path))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("NormalizePath(%q) = %q, %v, want an error with %q", test.path, got, err, test.want)
			}
		})
	}
}

func TestNormalizePathUsesItsBuffer(t *testing.T) {
	buf := append(make([]byte, 0, 64), "kept"...)
	path := []byte("/%61/../b")
	got, err := NormalizePath(buf, path)
	if err != nil || string(got) != "/b" {
		t.Fatalf("NormalizePath(%q) = %q, %v, want /b", path, got, err)
	}
	if string(buf) != "kept" || string(path) != "/%61/../b" {
		t.Errorf("buf, path = %q, %q after the call, want both unchanged", buf, path)
	}
	if whole := buf[:cap(buf)]; &got[0] != &whole[4] {
		t.Errorf("NormalizePath did not write behind buf")
	}
	plain := []byte("/%C3%A9/.x")
	if got, _ := NormalizePath(nil, plain); &got[0] != &plain[0] {
		t.Errorf("NormalizePath(%q) is a copy, want path itself: it is normal", plain)
	}
}

func TestNormalizeHost(t *testing.T) {
	tests := []struct{ rule, host, want string }{
		{"a normal name", "shop.example.com", "shop.example.com"},
		{"nothing", "", ""},
		{"upper case", "Shop.EXAMPLE.com", "shop.example.com"},
		{"a port", "shop.example.com:8443", "shop.example.com"},
		{"an empty port", "shop.example.com:", "shop.example.com"},
		{"a trailing dot", "shop.example.com.", "shop.example.com"},
		{"a trailing dot and a port", "Shop.example.com.:443", "shop.example.com"},
		{"one trailing dot only", "a..", "a."},
		{"an IPv4 address", "192.0.2.1:80", "192.0.2.1"},
		{"an IPv6 address", "[2001:DB8::1]", "[2001:db8::1]"},
		{"an IPv6 address with a port", "[2001:DB8::1]:443", "[2001:db8::1]"},
		{"a bare IPv6 address is no host and port", "2001:db8::1", "2001:db8::1"},
		{"only a port", ":80", ""},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			in := []byte(test.host)
			if got := NormalizeHost(nil, in); string(got) != test.want {
				t.Errorf("NormalizeHost(%q) = %q, want %q", test.host, got, test.want)
			}
			if string(in) != test.host {
				t.Errorf("NormalizeHost(%q) changed its argument to %q", test.host, in)
			}
		})
	}
}

// FuzzNormalizePath holds what every normal form has in common: it is its own
// normal form, holds no dot segment and no octet that a URI cannot hold, and
// decodes to what net/url makes of the path without dot segments.
func FuzzNormalizePath(f *testing.F) {
	for _, seed := range []string{
		"/", "/a/b", "//", "/%2e%2e/a", "/a/%2E./b/.", "/a%2fb%5c", "/é ", "/.//..", "/a/..;/b",
		"/%", "/%4", "/%00", "/#", "/a/b/c/./../../g", "/[x]|{y}", "/%e2%98%83", "/....//", "/..a/b../...",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, path []byte) {
		before := bytes.Clone(path)
		form, err := NormalizePath(nil, path)
		if !bytes.Equal(path, before) {
			t.Fatalf("NormalizePath(%q) changed its argument to %q", before, path)
		}
		if err != nil {
			return
		}
		again, err := NormalizePath(nil, form)
		if err != nil || !bytes.Equal(again, form) {
			t.Fatalf("NormalizePath(%q) = %q and of that %q, %v; want the same", path, form, again, err)
		}
		for segment := range strings.SplitSeq(string(form), "/") {
			if segment == "." || segment == ".." {
				t.Fatalf("NormalizePath(%q) = %q has a dot segment", path, form)
			}
		}
		for _, c := range form {
			if class := pathClass[c]; class == refused || class == foreign {
				t.Fatalf("NormalizePath(%q) = %q has the octet %q", path, form, c)
			}
		}
		want, ok := slowNormal(string(path))
		got, err := url.PathUnescape(string(form))
		if !ok || err != nil || got != want {
			t.Fatalf("NormalizePath(%q) = %q decodes to %q, %v, want %q, %v", path, form, got, err, want, ok)
		}
	})
}

// slowNormal decodes path segment by segment and resolves dot segments with a
// stack: another way to the same end. It reports false above the root.
func slowNormal(path string) (string, bool) {
	var stack []string
	segments := strings.Split(path[1:], "/")
	for i, s := range segments {
		s, err := url.PathUnescape(s)
		if err != nil {
			return "", false
		}
		last := i == len(segments)-1
		switch s {
		case ".":
			s = ""
		case "..":
			if len(stack) == 0 {
				return "", false
			}
			stack, s = stack[:len(stack)-1], ""
		default:
			stack = append(stack, s)
			continue
		}
		if last {
			stack = append(stack, s)
		}
	}
	return "/" + strings.Join(stack, "/"), true
}
