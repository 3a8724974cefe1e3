package message

import (
	"io"
	"strings"
	"testing"
)

func TestSetTarget(t *testing.T) {
	for _, tt := range []struct {
		method, target, path, query string
		hasQuery, ok                bool
	}{
		{"GET", "/", "/", "", false, true},
		{"GET", "/a?b?c", "/a", "b?c", true, true},
		{"GET", "/a?", "/a", "", true, true},
		{"GET", "/%2f?%zz\\", "/%2f", "%zz\\", true, true},
		{"OPTIONS", "*", "*", "", false, true},
		{"GET", "*", "", "", false, false},
		{"OPTIONS", "*a", "", "", false, false},
		{"GET", "", "", "", false, false},
		{"GET", "a", "", "", false, false},
		{"GET", "?a", "", "", false, false},
		{"GET", "/%", "", "", false, false},
		{"GET", "/%a", "", "", false, false},
		{"GET", "/%ag", "", "", false, false},
		{"GET", "/%aa%", "", "", false, false},
		{"GET", "/a\\b", "", "", false, false},
	} {
		r := Request{Method: tt.method}
		problem := r.SetTarget([]byte(tt.target))
		if (problem == "") != tt.ok {
			t.Errorf("SetTarget(%q) of %s = %q, want ok: %t", tt.target, tt.method, problem, tt.ok)
			continue
		}
		if tt.ok && (string(r.Target) != tt.target || string(r.Path) != tt.path || string(r.Query) != tt.query || r.HasQuery != tt.hasQuery) {
			t.Errorf("SetTarget(%q) = %q %q %t, want %q %q %t", tt.target, r.Path, r.Query, r.HasQuery, tt.path, tt.query, tt.hasQuery)
		}
	}
}

func TestValidAuthority(t *testing.T) {
	long := strings.Repeat("a", 255)
	for _, s := range []string{"a", "A.example", "a.example.", "a:80", "a:", "a:0", "a:65535", "127.0.0.1", "[::1]", "[::1]:80", "[::ffff:1.2.3.4]", "a_b~c-d", long, long + ":65535"} {
		if !ValidAuthority([]byte(s)) {
			t.Errorf("ValidAuthority(%q) = false, want true", s)
		}
	}
	for _, s := range []string{
		"", ":", ":80", "a:b", "a:65536", "a:000080", "a:+1", "a:1:2", "x@a", "a/b", "a?b", "a#b", "a b", "a,b", "a%2e", "a\x00", "\xc3\xa4",
		"[", "[]", "[::1", "::1", "[::1%eth0]", "[1.2.3.4]", "[::1]x", "[::1]]", long + "a", long + ":655356",
	} {
		if ValidAuthority([]byte(s)) {
			t.Errorf("ValidAuthority(%q) = true, want false", s)
		}
	}
}

func TestAnnouncedTrailers(t *testing.T) {
	for list, ok := range map[string]bool{
		"": true, "X-Sum": true, "x-a, x-b,": true, "ETag": true,
		"a b": false, "Content-Length": false, "x-a, transfer-encoding": false, "trailer": false, "Host": false, "\x00": false,
	} {
		if problem := AnnouncedTrailers([]byte(list)); (problem == "") != ok {
			t.Errorf("AnnouncedTrailers(%q) = %q, want ok: %t", list, problem, ok)
		}
	}
}

func TestInternMethod(t *testing.T) {
	for _, m := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "PURGE", "get", ""} {
		if got := InternMethod([]byte(m), "PURGE"); got != m {
			t.Errorf("InternMethod(%q) = %q", m, got)
		}
	}
}

func TestVersions(t *testing.T) {
	for v, want := range map[Version]string{HTTP10: "HTTP/1.0", HTTP11: "HTTP/1.1", HTTP2: "HTTP/2.0", 0: ""} {
		if got := v.String(); got != want {
			t.Errorf("Version(%d) = %q, want %q", v, got, want)
		}
	}
}

func TestNoBody(t *testing.T) {
	NoBody.Interrupt()
	if p, err := NoBody.Next(); p != nil || err != io.EOF || !NoBody.Ready() || NoBody.Trailers() != nil {
		t.Errorf("NoBody = %q, %v, want its end at once", p, err)
	}
}
