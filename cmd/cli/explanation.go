package cli

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/cardea-dev/cardea/controllers/translate"
	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// A table is what is served at one time, as far as explaining it needs.
type table struct {
	snapshot  *snapshot.Snapshot
	endpoints func(pool string) []snapshot.Endpoint
	verdicts  []translate.Verdict
	// httpsPort is the port that redirects name.
	httpsPort int
}

// An explanation says what answers a URL, and why. It is made by the matcher of
// the data plane. It holds no key material: certificates appear by name and
// digest.
type explanation struct {
	URL string `json:"url"`
	// Answer sums it up in a sentence.
	Answer string `json:"answer"`
	// Status is what is answered without a backend; 0 if a backend answers.
	Status int `json:"status,omitempty"`
	// Reason is the one word of log and metric if something is in the way.
	Reason outcome.Reason `json:"reason,omitempty"`

	TLS  *explainedTLS  `json:"tls,omitempty"`
	Host *explainedHost `json:"host,omitempty"`
	// Path is empty if no request is looked at, and so of no consequence.
	Path      string          `json:"path,omitempty"`
	Route     *explainedRoute `json:"route,omitempty"`
	Endpoints []string        `json:"endpoints,omitempty"`
	Policies  []string        `json:"policies,omitempty"`
	// Others are the routes of the host that do not answer, and why not.
	Others []explainedOther `json:"others,omitempty"`
	// Verdicts are those on the objects involved.
	Verdicts []string `json:"verdicts,omitempty"`
}

type explainedHost struct {
	Name    string `json:"name"`
	Ingress string `json:"ingress"`
	Why     string `json:"why"`
}

type explainedRoute struct {
	Path    string `json:"path"`
	Kind    string `json:"kind"`
	Ingress string `json:"ingress"`
	Service string `json:"service,omitempty"`
	Pool    string `json:"pool,omitempty"`
	Why     string `json:"why"`
}

type explainedOther struct {
	Path    string `json:"path"`
	Kind    string `json:"kind"`
	Ingress string `json:"ingress"`
	WhyNot  string `json:"whyNot"`
}

// explain says what answers raw, a URL such as https://shop.example.com/cart.
func (t table) explain(raw string, now time.Time) (*explanation, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%q: want a URL such as https://shop.example.com/cart", raw)
	}
	e := &explanation{URL: raw, Path: cmp.Or(u.EscapedPath(), "/")}
	host := string(snapshot.NormalizeHost(nil, []byte(u.Host)))
	if u.Scheme == "https" {
		e.explainTLS(t, host, now)
		if e.TLS.Passthrough != "" {
			e.explainPassthrough(t, host)
			return e, nil
		}
	}
	path, err := snapshot.NormalizePath(nil, []byte(e.Path))
	if err != nil {
		e.refuse(outcome.BadRequest, err.Error())
		return e, nil
	}
	e.Path = string(path)
	m, ok := t.snapshot.Match([]byte(host), path)
	if m.Host != nil {
		e.Host = &explainedHost{Name: cmp.Or(m.Host.Name, "(any host)"), Ingress: m.Host.Origin.Object().String(), Why: whyHost(host, m.Host.Name)}
		e.explainOthers(m, e.Path)
	} else if h := t.host(host); h != nil {
		e.Host = &explainedHost{Name: cmp.Or(h.Name, "(any host)"), Ingress: h.Origin.Object().String(), Why: whyHost(host, h.Name)}
		e.explainOthers(snapshot.Match{Host: h}, e.Path)
	}
	if !ok {
		why := "no Ingress has a path for it"
		if e.Host == nil {
			why = fmt.Sprintf("no Ingress names the host %q", host)
			if near := t.near(host); len(near) > 0 {
				why += "; there are " + strings.Join(near, ", ")
			}
		}
		e.refuse(outcome.NoRoute, why)
		return e, nil
	}
	if e.TLS != nil && m.Route.Answer != nil && m.Route.Answer.Reason == string(outcome.Misdirected) {
		// It is to be passed through, and nothing is there to pass it to: no
		// request gets as far as a route.
		e.Path = ""
		e.explainVerdicts(t, m.Route.Origin, m.Route.Service)
		return e, nil
	}
	e.explainRoute(m, t)
	if p := m.Route.Policy; p.RedirectHTTPS && !p.ACME && u.Scheme == "http" {
		e.Status, e.Answer = 308, "redirect to "+t.redirect(host, u)
		return e, nil
	}
	e.explainBackend(m, t)
	return e, nil
}

// refuse notes why no backend answers, unless TLS already is in the way.
func (e *explanation) refuse(r outcome.Reason, why string) {
	if e.Reason != "" {
		return
	}
	e.Reason, e.Status = r, r.Status()
	e.Answer = fmt.Sprintf("%d %s: %s", e.Status, r, why)
}

func whyHost(asked, name string) string {
	switch {
	case name == "":
		return "no other host takes " + asked
	case strings.HasPrefix(name, "*."):
		return "the wildcard stands for the first label of " + asked + ", which is not named itself"
	}
	return "exactly this name"
}

// host finds the Host that a request for name goes to, whether or not it has a
// path for it.
func (t table) host(name string) *snapshot.Host {
	names := []string{name, ""}
	if _, rest, ok := strings.Cut(name, "."); ok {
		names = []string{name, "*." + rest, ""}
	}
	for _, n := range names {
		i, ok := slices.BinarySearchFunc(t.snapshot.Spec.Hosts, n, func(h *snapshot.Host, n string) int { return cmp.Compare(h.Name, n) })
		if ok && len(t.snapshot.Spec.Hosts[i].Routes) > 0 {
			return t.snapshot.Spec.Hosts[i]
		}
	}
	return nil
}

// near returns some hosts that look like name.
func (t table) near(name string) []string {
	const most = 5
	labels := strings.Split(name, ".")
	suffix := strings.Join(labels[max(0, len(labels)-2):], ".")
	var near []string
	for _, h := range t.snapshot.Spec.Hosts {
		if h.Name != "" && strings.HasSuffix(h.Name, suffix) && len(h.Routes) > 0 && len(near) < most {
			near = append(near, h.Name)
		}
	}
	return near
}

func (e *explanation) explainRoute(m snapshot.Match, t table) {
	r := m.Route
	why := "the longest prefix of the path, by path element"
	if r.Kind == snapshot.Exact {
		why = "exactly this path"
	}
	e.Route = &explainedRoute{Path: r.Path, Kind: r.Kind.String(), Ingress: r.Origin.String(), Service: r.Service.String(), Pool: r.Pool, Why: why}
	e.Policies = describePolicy(r.Policy)
	e.explainVerdicts(t, r.Origin, r.Service)
}

// explainVerdicts adds the verdicts on the objects involved.
func (e *explanation) explainVerdicts(t table, involved ...snapshot.Origin) {
	for _, v := range t.verdicts {
		if slices.ContainsFunc(involved, func(o snapshot.Origin) bool { return o.Object() == v.Origin.Object() }) {
			e.Verdicts = append(e.Verdicts, describeVerdict(v))
		}
	}
}

func (e *explanation) explainBackend(m snapshot.Match, t table) {
	if a := m.Route.Answer; a != nil {
		r := outcome.Reason(a.Reason)
		e.refuse(r, r.Info().Text)
		return
	}
	to, ok := e.explainPool(t, m.Route.Pool, m.Route.Service)
	switch {
	case !ok:
		e.refuse(outcome.NoEndpoints, to)
	case e.Reason == "":
		e.Answer = to
	}
}

// explainPool says where in a pool something goes; not ok, with the reason, if it
// has no endpoint.
func (e *explanation) explainPool(t table, id string, service snapshot.Origin) (to string, ok bool) {
	if p := t.snapshot.Pool(id); p != nil && p.ExternalName != "" {
		return fmt.Sprintf("%s, by the addresses of %s, port %d", service, p.ExternalName, p.ExternalPort), true
	}
	list := t.endpoints(id)
	for _, ep := range list {
		e.Endpoints = append(e.Endpoints, strings.TrimSpace(ep.Addr.String()+" "+ep.Target))
	}
	switch len(list) {
	case 0:
		return fmt.Sprintf("%s (%s)", outcome.NoEndpoints.Info().Text, service), false
	case 1:
		return fmt.Sprintf("%s, one of 1 endpoint", service), true
	}
	return fmt.Sprintf("%s, one of %d endpoints", service, len(list)), true
}

func (e *explanation) explainOthers(m snapshot.Match, path string) {
	for _, r := range m.Host.Routes {
		if r == m.Route {
			continue
		}
		e.Others = append(e.Others, explainedOther{Path: r.Path, Kind: r.Kind.String(), Ingress: r.Origin.String(), WhyNot: whyNot(r, m.Route, path)})
	}
	slices.SortFunc(e.Others, func(a, b explainedOther) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Kind, b.Kind))
	})
}

func whyNot(r, winner *snapshot.Route, path string) string {
	switch {
	case r.Kind == snapshot.Exact:
		return "another path"
	case !hasPathPrefix(path, r.Path):
		return "not a prefix of the path, by path element"
	case winner != nil && winner.Kind == snapshot.Exact:
		return "Exact goes before Prefix"
	}
	return "the longer prefix goes first"
}

func hasPathPrefix(path, prefix string) bool {
	prefix = strings.TrimSuffix(prefix, "/")
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || rest[0] == '/')
}

func (t table) redirect(host string, u *url.URL) string {
	to := url.URL{Scheme: "https", Host: host, Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}
	if t.httpsPort != 443 && t.httpsPort != 0 {
		to.Host = fmt.Sprintf("%s:%d", host, t.httpsPort)
	}
	return to.String()
}
