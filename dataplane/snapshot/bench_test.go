package snapshot

import (
	"fmt"
	"testing"
)

// bigSpec has n hosts of three routes, as a cluster of ordinary Ingresses has.
func bigSpec(n int) *Spec {
	s := &Spec{}
	for i := range n {
		pool := fmt.Sprintf("ns/web-%06d:80", i)
		h := &Host{Name: fmt.Sprintf("h%06d.example.com", i), TLS: &TLS{Certificates: someCertificates()[:1]}}
		for _, path := range []string{"Prefix /", "Prefix /api/v1", "Exact /healthz"} {
			r := route(path)
			r.Pool = pool
			h.Routes = append(h.Routes, r)
		}
		s.Hosts = append(s.Hosts, h)
		s.Pools = append(s.Pools, &Pool{ID: pool})
	}
	return s
}

// with returns s with host i replaced by a copy of another path.
func (s *Spec) with(i int, path string) *Spec {
	next := *s
	next.Hosts = append([]*Host(nil), s.Hosts...)
	h := *s.Hosts[i]
	r := route(path)
	r.Pool = h.Routes[0].Pool
	h.Routes = append([]*Route{r}, h.Routes[1:]...)
	next.Hosts[i] = &h
	return &next
}

func TestAllocations(t *testing.T) {
	snap := compile(t, nil, bigSpec(1000))
	exact, wild, path, normal := []byte("h000500.example.com"), []byte("x.nowhere.test"), []byte("/api/v1/users/7"), []byte("/a/%C3%A9/.b")
	buf, odd, upper := make([]byte, 0, 256), []byte("/a/%7euser/../b"), []byte("SHOP.example.com:443")
	tests := []struct {
		name string
		f    func()
	}{
		{"Match", func() { snap.Match(exact, path) }},
		{"Match of an unknown host", func() { snap.Match(wild, path) }},
		{"ServerName", func() { snap.ServerName("h000500.example.com") }},
		{"ServerName of an unknown host", func() { snap.ServerName("x.nowhere.test") }},
		{"NormalizePath of a normal path", func() { _, _ = NormalizePath(nil, path) }},
		{"NormalizePath of a normal path with escapes", func() { _, _ = NormalizePath(buf, normal) }},
		{"NormalizePath with a buffer", func() { _, _ = NormalizePath(buf, odd) }},
		{"NormalizeHost", func() { NormalizeHost(nil, exact) }},
		{"NormalizeHost with a buffer", func() { NormalizeHost(buf, upper) }},
	}
	for _, test := range tests {
		if got := testing.AllocsPerRun(100, test.f); got != 0 {
			t.Errorf("%s: %v allocations, want 0", test.name, got)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	snap := compile(b, nil, bigSpec(10_000))
	for _, bench := range []struct{ name, host, path string }{
		{"prefix", "h005000.example.com", "/api/v1/users/7"},
		{"root", "h005000.example.com", "/"},
		{"exact", "h005000.example.com", "/healthz"},
		{"unknown", "www.nowhere.test", "/"},
	} {
		b.Run(bench.name, func(b *testing.B) {
			host, path := []byte(bench.host), []byte(bench.path)
			b.ReportAllocs()
			for b.Loop() {
				snap.Match(host, path)
			}
		})
	}
}

func BenchmarkServerName(b *testing.B) {
	snap := compile(b, nil, bigSpec(10_000))
	for b.Loop() {
		snap.ServerName("h005000.example.com")
	}
}

func BenchmarkNormalizePath(b *testing.B) {
	buf := make([]byte, 0, 256)
	for _, path := range []string{"/api/v1/users/7", "/a/%7euser/../b/%c3%a9"} {
		b.Run(path[:3], func(b *testing.B) {
			path := []byte(path)
			b.ReportAllocs()
			for b.Loop() {
				_, _ = NormalizePath(buf, path)
			}
		})
	}
}

// BenchmarkCompile compiles a table from nothing, and after a change of one host.
func BenchmarkCompile(b *testing.B) {
	for _, hosts := range []int{1_000, 10_000, 100_000} {
		s := bigSpec(hosts)
		b.Run(fmt.Sprintf("all/hosts=%d", hosts), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				compile(b, nil, s)
			}
		})
		b.Run(fmt.Sprintf("one/hosts=%d", hosts), func(b *testing.B) {
			snap := compile(b, nil, s)
			changed := [2]*Spec{s.with(hosts/2, "Prefix /a"), s.with(hosts/2, "Prefix /b")}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				snap = compile(b, snap, changed[i%2])
			}
		})
	}
}
