package snapshot

import (
	"cmp"
	"slices"
	"strings"
	"testing"
)

// route makes a route from "Exact /a" or "Prefix /a".
func route(text string) *Route {
	kind, path, _ := strings.Cut(text, " ")
	r := &Route{Path: path, Pool: "p", Origin: Origin{Kind: "Ingress", Namespace: "shop", Name: "web", Field: text}}
	if kind == "Prefix" {
		r.Kind = Prefix
	}
	return r
}

// spec makes a Spec of hosts given as a name and routes each.
func spec(hosts map[string][]string) *Spec {
	s := &Spec{Pools: []*Pool{{ID: "p"}}}
	for name, routes := range hosts {
		h := &Host{Name: name}
		for _, r := range routes {
			h.Routes = append(h.Routes, route(r))
		}
		s.Hosts = append(s.Hosts, h)
	}
	slices.SortFunc(s.Hosts, func(a, b *Host) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

// compile is Compile with the route's own text as its plan.
func compile(tb testing.TB, prev *Snapshot, s *Spec) *Snapshot {
	tb.Helper()
	snap, err := Compile(prev, s, func(r *Route) any { return r.Origin.Field })
	if err != nil {
		tb.Fatalf("Compile = %v, want a snapshot of\n%s", err, s.Text())
	}
	return snap
}

func TestMatch(t *testing.T) {
	tests := []struct {
		rule       string
		hosts      map[string][]string
		host, path string
		want       string // "host route", or "" for no match
	}{
		{"prefix / takes every path", map[string][]string{"a.b": {"Prefix /"}}, "a.b", "/x/y", "a.b Prefix /"},
		{"a prefix takes itself", map[string][]string{"a.b": {"Prefix /x"}}, "a.b", "/x", "a.b Prefix /x"},
		{"a prefix takes itself with a slash", map[string][]string{"a.b": {"Prefix /x"}}, "a.b", "/x/", "a.b Prefix /x"},
		{"a prefix takes further elements", map[string][]string{"a.b": {"Prefix /x"}}, "a.b", "/x/y/z", "a.b Prefix /x"},
		{"a prefix is compared by element", map[string][]string{"a.b": {"Prefix /x"}}, "a.b", "/xy", ""},
		{"a longer path than the request", map[string][]string{"a.b": {"Prefix /x/y"}}, "a.b", "/x", ""},
		{"the slash at a prefix's end is ignored", map[string][]string{"a.b": {"Prefix /x/"}}, "a.b", "/x", "a.b Prefix /x/"},
		{"an escaped slash is no element boundary", map[string][]string{"a.b": {"Prefix /x"}}, "a.b", "/x%2Fy", ""},
		{"prefixes distinguish case", map[string][]string{"a.b": {"Prefix /x"}}, "a.b", "/X", ""},
		{"exact takes its path", map[string][]string{"a.b": {"Exact /x"}}, "a.b", "/x", "a.b Exact /x"},
		{"exact does not ignore a slash", map[string][]string{"a.b": {"Exact /x"}}, "a.b", "/x/", ""},
		{"exact with a slash", map[string][]string{"a.b": {"Exact /x/"}}, "a.b", "/x", ""},
		{"exact before prefix", map[string][]string{"a.b": {"Prefix /x", "Exact /x"}}, "a.b", "/x", "a.b Exact /x"},
		{"exact before a longer prefix", map[string][]string{"a.b": {"Prefix /x/", "Exact /x"}}, "a.b", "/x", "a.b Exact /x"},
		{"longer before shorter", map[string][]string{"a.b": {"Prefix /", "Prefix /x/y", "Prefix /x"}}, "a.b", "/x/y/z", "a.b Prefix /x/y"},
		{"the shorter one where the longer ends", map[string][]string{"a.b": {"Prefix /", "Prefix /x/y", "Prefix /x"}}, "a.b", "/x/z", "a.b Prefix /x"},
		{"a branch without a route falls back", map[string][]string{"a.b": {"Prefix /", "Prefix /x/y/z"}}, "a.b", "/x/y", "a.b Prefix /"},
		{"of two equal prefixes the longer text", map[string][]string{"a.b": {"Prefix /x/", "Prefix /x"}}, "a.b", "/x", "a.b Prefix /x/"},
		{"empty elements count", map[string][]string{"a.b": {"Prefix /x//y"}}, "a.b", "/x/y", ""},

		{"exact host before wildcard", map[string][]string{"a.b": {"Prefix /"}, "*.b": {"Prefix /"}}, "a.b", "/", "a.b Prefix /"},
		{"wildcard before catch-all", map[string][]string{"": {"Prefix /"}, "*.b": {"Prefix /"}}, "a.b", "/", "*.b Prefix /"},
		{"catch-all for the rest", map[string][]string{"": {"Prefix /"}, "*.b": {"Prefix /"}}, "c", "/", " Prefix /"},
		{"a wildcard is one label", map[string][]string{"*.b": {"Prefix /"}}, "x.a.b", "/", ""},
		{"a wildcard is not its parent", map[string][]string{"*.b": {"Prefix /"}}, "b", "/", ""},
		{"a wildcard's label is not empty", map[string][]string{"*.b": {"Prefix /"}}, ".b", "/", ""},
		{"a wildcard takes a star for a label", map[string][]string{"*.b": {"Prefix /"}}, "*.b", "/", "*.b Prefix /"},
		{"a host without a matching path does not fall back", map[string][]string{"a.b": {"Exact /x"}, "*.b": {"Prefix /"}, "": {"Prefix /"}}, "a.b", "/y", ""},
		{"a wildcard without a matching path does not fall back", map[string][]string{"*.b": {"Exact /x"}, "": {"Prefix /"}}, "a.b", "/y", ""},
		{"a host without routes passes on", map[string][]string{"a.b": {}, "*.b": {"Prefix /"}}, "a.b", "/y", "*.b Prefix /"},
		{"a wildcard without routes passes on", map[string][]string{"*.b": {}, "": {"Prefix /"}}, "a.b", "/y", " Prefix /"},
		{"no host", map[string][]string{"": {"Prefix /"}}, "", "/", " Prefix /"},
		{"the asterisk form is no path", map[string][]string{"a.b": {"Prefix /"}}, "a.b", "*", ""},
		{"an empty table", nil, "a.b", "/", ""},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			snap := compile(t, nil, spec(test.hosts))
			got, ok := snap.Match([]byte(test.host), []byte(test.path))
			text := ""
			if ok {
				text = got.Host.Name + " " + got.Plan.(string)
				if got.Plan != got.Route.Origin.Field {
					t.Errorf("Match(%q, %q).Plan = %v, want the plan of %v", test.host, test.path, got.Plan, got.Route)
				}
			}
			if !ok && (got.Route != nil || got.Plan != nil) {
				t.Errorf("Match(%q, %q) = %v without a match, want the host alone", test.host, test.path, got)
			}
			if text != test.want {
				t.Errorf("Match(%q, %q) = %q, want %q", test.host, test.path, text, test.want)
			}
		})
	}
}

// TestMatchNamesTheHost: a path that nothing takes still tells the host, unless
// that is unknown too.
func TestMatchNamesTheHost(t *testing.T) {
	snap := compile(t, nil, spec(map[string][]string{"a.b": {"Exact /x"}}))
	if got, ok := snap.Match([]byte("a.b"), []byte("/y")); ok || got.Host == nil || got.Host.Name != "a.b" {
		t.Errorf("Match(a.b, /y) = %v, %v, want the host a.b and no match", got, ok)
	}
	if got, ok := snap.Match([]byte("c"), []byte("/x")); ok || got.Host != nil {
		t.Errorf("Match(c, /x) = %v, %v, want nothing", got, ok)
	}
}

// oracle matches as the Ingress API is written, one rule after the other:
// "precise matches require that the HTTP host header matches the host field";
// "wildcard matches require the HTTP host header is equal to the suffix of the
// wildcard rule", covering a single label; Exact "matches the URL path exactly
// and with case sensitivity"; Prefix "matches based on a URL path prefix split by
// /. Matching is done on a path element by element basis"; "precedence will be
// given first to the longest matching path. If two paths are still equally
// matched, precedence will be given to paths with an exact path type".
//
// Cardea gives Exact precedence over Prefix outright. It is the same but where a
// prefix with a slash at its end ("/x/") is longer than the exact path ("/x").
func oracle(s *Spec, host, path string) *Route {
	h := oracleHost(s, host, func(h *Host) bool { return len(h.Routes) > 0 })
	if h == nil && s.Hosts != nil && s.Hosts[0].Name == "" {
		h = s.Hosts[0]
	}
	if h == nil {
		return nil
	}
	var best *Route
	for _, r := range h.Routes {
		switch {
		case r.Kind == Exact && r.Path == path:
			return r
		case r.Kind == Prefix && oraclePrefix(r.Path, path):
			if best == nil || len(r.Path) > len(best.Path) {
				best = r
			}
		}
	}
	return best
}

// oracleHost is the exact host, else the wildcard, of those that count.
func oracleHost(s *Spec, name string, counts func(*Host) bool) *Host {
	if name == "" {
		return nil
	}
	for _, h := range s.Hosts {
		if h.Name == name && !strings.HasPrefix(name, "*") && counts(h) {
			return h
		}
	}
	label, parent, ok := strings.Cut(name, ".")
	if !ok || label == "" {
		return nil
	}
	for _, h := range s.Hosts {
		if h.Name == "*."+parent && counts(h) {
			return h
		}
	}
	return nil
}

func oraclePrefix(prefix, path string) bool {
	prefix = strings.TrimSuffix(prefix, "/")
	if prefix == "" {
		return true
	}
	want, got := strings.Split(prefix, "/"), strings.Split(path, "/")
	return len(got) >= len(want) && slices.Equal(got[:len(want)], want)
}

// check compares Match with the oracle.
func check(t *testing.T, snap *Snapshot, host, path string) {
	t.Helper()
	got, _ := snap.Match([]byte(host), []byte(path))
	if want := oracle(snap.Spec, host, path); got.Route != want {
		t.Fatalf("Match(%q, %q) = %v, want %v in\n%s", host, path, got.Route, want, snap.Spec.Text())
	}
}

// TestMatchAllSmallTables compares every subset of a dozen routes with the
// oracle, for every path of up to five characters out of "/ab".
func TestMatchAllSmallTables(t *testing.T) {
	var routes []string
	for _, path := range []string{"/", "/a", "/a/", "/a/b", "/ab", "//"} {
		routes = append(routes, "Exact "+path, "Prefix "+path)
	}
	paths := []string{"/"}
	for i := 0; i < len(paths); i++ {
		if len(paths[i]) < 5 {
			paths = append(paths, paths[i]+"/", paths[i]+"a", paths[i]+"b")
		}
	}
	for set := range 1 << len(routes) {
		var chosen []string
		for i, r := range routes {
			if set&(1<<i) != 0 {
				chosen = append(chosen, r)
			}
		}
		snap := compile(t, nil, spec(map[string][]string{"h": chosen}))
		for _, path := range paths {
			check(t, snap, "h", path)
		}
	}
}

// TestMatchAllSmallHostTables does the same for hosts: each name is absent, for
// TLS only, or has one of two routes.
func TestMatchAllSmallHostTables(t *testing.T) {
	names := []string{"", "b", "*.b", "a.b", "*.a.b"}
	kinds := 4
	tables := 1
	for range names {
		tables *= kinds
	}
	for table := range tables {
		hosts := map[string][]string{}
		for i, rest := 0, table; i < len(names); i, rest = i+1, rest/kinds {
			switch rest % kinds {
			case 1:
				hosts[names[i]] = nil
			case 2:
				hosts[names[i]] = []string{"Prefix /"}
			case 3:
				hosts[names[i]] = []string{"Exact /a"}
			}
		}
		s := spec(hosts)
		for _, h := range s.Hosts {
			if len(h.Routes) == 0 && h.Name != "" {
				h.TLS = &TLS{}
			}
		}
		snap := compile(t, nil, s)
		for _, host := range []string{"", "b", ".b", "a.b", "c.b", "c.a.b", "a.a.b", "d.c.b", "*.b", "x"} {
			for _, path := range []string{"/", "/a", "/b"} {
				check(t, snap, host, path)
			}
			want := oracleHost(s, host, func(h *Host) bool { return h.TLS != nil })
			if got := snap.ServerName(host); got != want {
				t.Fatalf("ServerName(%q) = %v, want %v in\n%s", host, got, want, s.Text())
			}
		}
	}
}

// FuzzMatch compares Match with the oracle for a table that the fuzzer writes:
// one "host kind path" a line.
func FuzzMatch(f *testing.F) {
	f.Add("a.b Exact /a\n*.b Prefix /a\n Prefix /", "a.b", "/a/b")
	f.Add("a.b Prefix /a/\na.b Prefix /a/b//\na.b Prefix /", "a.b", "/a/b//c")
	f.Add("x Prefix /%2F\nx Exact /a%2Fb", "x", "/a%2Fb")
	f.Fuzz(func(t *testing.T, table, host, path string) {
		hosts := map[string][]string{}
		for line := range strings.Lines(table) {
			name, r, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			hosts[name] = append(hosts[name], r)
		}
		snap, err := Compile(nil, spec(hosts), nil)
		if err != nil {
			return
		}
		host = string(NormalizeHost(nil, []byte(host)))
		normal, err := NormalizePath(nil, []byte(path))
		if err != nil {
			return
		}
		check(t, snap, host, string(normal))
	})
}
