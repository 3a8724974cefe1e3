// How the routes of one host are matched.
//
// Exact paths are in a map. Prefixes are in a tree of path elements: the root is
// the prefix "/", a child is one element further, and a node holds the route
// whose prefix ends there. A path walks down as long as a child has its next
// element; the last route seen on the way is the longest prefix. The walk ends
// where the configured prefixes end, however long the path is, so that its cost
// is bounded by the table and not by the client. The usual host has the one
// prefix "/", which is the root itself: no look-up at all.

package snapshot

import (
	"bytes"
	"fmt"
	"strings"
)

// host is a compiled Host.
type host struct {
	spec *Host
	// security is what a connection for the host has to prove.
	security Security
	// bound holds what is bound to spec.Routes, in the same order.
	bound []bound
	// exact is nil without Exact routes.
	exact map[string]*bound
	root  node
}

// bound is a route with its plan.
type bound struct {
	route *Route
	plan  any
}

// node is a place in the tree of prefixes.
type node struct {
	bound    *bound
	children map[string]*node
}

// match returns what takes path, nil if nothing does.
func (h *host) match(path []byte) *bound {
	if len(path) == 0 || path[0] != '/' {
		return nil
	}
	if h.exact != nil {
		if b := h.exact[string(path)]; b != nil {
			return b
		}
	}
	n, longest, rest := &h.root, h.root.bound, path[1:]
	for n.children != nil {
		slash := bytes.IndexByte(rest, '/')
		element := rest
		if slash >= 0 {
			element = rest[:slash]
		}
		if n = n.children[string(element)]; n == nil {
			break
		}
		if n.bound != nil {
			longest = n.bound
		}
		if slash < 0 {
			break
		}
		rest = rest[slash+1:]
	}
	return longest
}

// compileHost compiles spec. It takes the plans of the routes that old (may be
// nil) has as well from there.
func compileHost(old *host, spec *Host, bind func(*Route) any) (*host, error) {
	h := &host{spec: spec, bound: make([]bound, len(spec.Routes))}
	plan := planner(old, bind)
	for i, r := range spec.Routes {
		b := &h.bound[i]
		*b = bound{r, plan(i, r)}
		var before *bound
		if r.Kind == Exact {
			before = h.addExact(b)
		} else {
			before = h.addPrefix(b)
		}
		if before != nil {
			return nil, fmt.Errorf("snapshot: host %q: %s %s of %s is also a route of %s",
				spec.Name, r.Kind, r.Path, r.Origin, before.route.Origin)
		}
	}
	return h, nil
}

// planner returns a function that gives the plan of route i. Routes mostly keep
// their place, so that the place is tried before an index is made.
func planner(old *host, bind func(*Route) any) func(int, *Route) any {
	if bind == nil {
		bind = func(*Route) any { return nil }
	}
	if old == nil {
		return func(_ int, r *Route) any { return bind(r) }
	}
	var index map[*Route]any
	return func(i int, r *Route) any {
		if i < len(old.bound) && old.bound[i].route == r {
			return old.bound[i].plan
		}
		if index == nil {
			index = make(map[*Route]any, len(old.bound))
			for _, b := range old.bound {
				index[b.route] = b.plan
			}
		}
		if plan, ok := index[r]; ok {
			return plan
		}
		return bind(r)
	}
}

// addExact adds an Exact route and returns the one that has its place already.
func (h *host) addExact(b *bound) *bound {
	if before := h.exact[b.route.Path]; before != nil {
		return before
	}
	if h.exact == nil {
		h.exact = make(map[string]*bound, 1)
	}
	h.exact[b.route.Path] = b
	return nil
}

// addPrefix adds a Prefix route and returns the one with the same path. Of "/a"
// and "/a/", which match the same paths, the longer one is in force.
func (h *host) addPrefix(b *bound) *bound {
	n := &h.root
	if path := strings.TrimSuffix(b.route.Path, "/"); path != "" {
		for element := range strings.SplitSeq(path[1:], "/") {
			n = n.child(element)
		}
	}
	switch {
	case n.bound == nil || len(n.bound.route.Path) < len(b.route.Path):
		n.bound = b
	case n.bound.route.Path == b.route.Path:
		return n.bound
	}
	return nil
}

// child returns the child for element, made if it does not exist.
func (n *node) child(element string) *node {
	if c := n.children[element]; c != nil {
		return c
	}
	if n.children == nil {
		n.children = make(map[string]*node, 1)
	}
	c := new(node)
	n.children[element] = c
	return c
}
