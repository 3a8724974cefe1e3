package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// debugHandler answers those who operate this process. It shows what is served,
// which tenants need not know of each other, so it belongs on a loopback address;
// and it shows certificates by name and digest only.
func (p *process) debugHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.debugIndex)
	mux.HandleFunc("GET /debug/{$}", p.debugIndex)
	mux.HandleFunc("GET /debug/spec", p.debugSpec)
	mux.HandleFunc("GET /debug/explain", p.debugExplain)
	mux.HandleFunc("GET /debug/endpoints", p.debugEndpoints)
	mux.HandleFunc("GET /debug/verdicts", p.debugVerdicts)
	mux.HandleFunc("GET /debug/health", p.debugHealth)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /-/reload", p.debugReload)
	// A page in the operator's browser must not reach what only loopback may.
	return http.NewCrossOriginProtection().Handler(mux)
}

func (p *process) debugIndex(w http.ResponseWriter, _ *http.Request) {
	reply(w, text(`
			/debug/spec             what is served
			/debug/explain?url=URL  what answers a URL, and why (&format=json)
			/debug/endpoints        the endpoints of every pool
			/debug/verdicts         what is wrong with the objects
			/debug/health           readiness, generation, and the connections of every pool
			/debug/pprof/           profiles
			POST /-/reload          read every file again`))
}

func (p *process) debugSpec(w http.ResponseWriter, _ *http.Request) {
	s := p.data.Snapshot()
	if s == nil {
		http.Error(w, "nothing was published yet", http.StatusServiceUnavailable)
		return
	}
	reply(w, strings.TrimSuffix(s.Spec.Text(), "\n"))
}

func (p *process) debugExplain(w http.ResponseWriter, r *http.Request) {
	s := p.data.Snapshot()
	if s == nil {
		http.Error(w, "nothing was published yet", http.StatusServiceUnavailable)
		return
	}
	t := table{snapshot: s, endpoints: p.board.of, verdicts: p.verdicts.list(), httpsPort: p.redirectPort()}
	e, err := t.explain(r.FormValue("url"), time.Now())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if r.FormValue("format") == "json" {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(e)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_ = e.print(w)
}

func (p *process) debugEndpoints(w http.ResponseWriter, _ *http.Request) {
	var b strings.Builder
	all := p.board.all()
	for _, pool := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintln(&b, pool)
		for _, ep := range all[pool] {
			fmt.Fprintf(&b, "  %s\n", strings.TrimSpace(ep.Addr.String()+" "+ep.Target))
		}
	}
	reply(w, strings.TrimSuffix(b.String(), "\n"))
}

func (p *process) debugVerdicts(w http.ResponseWriter, _ *http.Request) {
	var b strings.Builder
	for _, v := range p.verdicts.list() {
		fmt.Fprintln(&b, describeVerdict(v))
	}
	reply(w, strings.TrimSuffix(b.String(), "\n"))
}

func (p *process) debugHealth(w http.ResponseWriter, _ *http.Request) {
	state := "ready"
	if why := p.whyNotReady(); why != "" {
		state = "not ready: " + why
	}
	var generation uint64
	if s := p.data.Snapshot(); s != nil {
		generation = s.Generation
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\ngeneration %d\nversion %s\nup %v\nrequests in flight %d\n\n",
		state, generation, Version(), time.Since(p.started).Round(time.Second), p.data.InFlight())
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "POOL\tENDPOINTS\tIDLE\tBUSY\tDIALS\tDIAL ERRORS\tREUSES")
	for _, s := range p.data.Pools() {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\n", s.Pool, s.Endpoints, s.Idle, s.Busy, s.Dials, s.DialErrors, s.Reuses)
	}
	_ = t.Flush() // into memory
	reply(w, strings.TrimSuffix(b.String(), "\n"))
}
