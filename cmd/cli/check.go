package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/cardea-dev/cardea/controllers/manifest"
	"github.com/cardea-dev/cardea/controllers/translate"
	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

func newCheck() *cobra.Command {
	var s settings
	var dir, kubeconfig, namespace, failOn, output string
	cmd := &cobra.Command{
		Use:   "check [--manifests DIR | --kubeconfig FILE]",
		Short: "Say what would be served, and what is wrong with the objects.",
		Long: text(`
			Say what would be served, host by host, and every verdict on the objects: what is
			refused, what is served other than it is written, and what is worth knowing.
			Nothing is served and nothing is changed.

			Without --manifests, a cluster is read: that of --kubeconfig, of $KUBECONFIG, or
			the one that this runs in.

			The exit code is 0 if there is no verdict at or above --fail-on, 1 if there is
			one, and 2 if some input cannot be read. A file that is not YAML is input that
			cannot be read; an object that an API server would not take is a refused one.`),
		Example: text(`
			cardea check --manifests ./manifests
			cardea check --manifests ./manifests --fail-on warning -o json
			cardea check --kubeconfig ~/.kube/config
			# What would become of the Ingresses of ingress-nginx
			cardea check --class nginx --controller-name k8s.io/ingress-nginx --configmap ingress-nginx/ingress-nginx-controller`),
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			least, err := parseLevel(failOn)
			if err == nil {
				_, err = namespacedName("configmap", s.configMap)
			}
			switch {
			case err != nil:
				return err
			case output != "text" && output != "json":
				return usage("--output %q: want text or json", output)
			case dir != "" && kubeconfig != "":
				return usage("--manifests and --kubeconfig exclude each other")
			}
			set, err := readObjects(cmd.Context(), dir, kubeconfig, namespace, s.options())
			if err != nil {
				return unreadable(err)
			}
			report, err := s.reportOn(set, time.Now())
			if err != nil {
				return err
			}
			if output == "json" {
				err = writeJSON(cmd.OutOrStdout(), report)
			} else {
				err = report.print(cmd.OutOrStdout())
			}
			if err != nil {
				return err
			}
			return report.exit(least)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&dir, "manifests", "", "Folder of Kubernetes YAML to check.")
	f.StringVar(&kubeconfig, "kubeconfig", "", "Kubeconfig file of the cluster to check.")
	f.StringVar(&namespace, "watch-namespace", "", "Namespace of the cluster to check; all without it.")
	f.StringVar(&failOn, "fail-on", "refused", "Lowest level of verdict that makes the exit code 1: info, warning or refused.")
	f.StringVarP(&output, "output", "o", "text", "Format of the report: text or json.")
	s.bindClass(f)
	return cmd
}

func parseLevel(s string) (translate.Level, error) {
	for l := translate.Info; l <= translate.Refused; l++ {
		if l.String() == s {
			return l, nil
		}
	}
	return 0, usage("--fail-on %q: want info, warning or refused", s)
}

func readObjects(ctx context.Context, dir, kubeconfig, namespace string, options translate.Options) (manifest.Set, error) {
	if dir != "" {
		return manifest.NewFolder(dir).Read()
	}
	return readCluster(ctx, kubeconfig, namespace, options)
}

// A report is what check found.
type report struct {
	Hosts    []reportHost    `json:"hosts"`
	Verdicts []reportVerdict `json:"verdicts"`
	// Unreadable are the places in files that could not be read at all.
	Unreadable []string `json:"unreadable,omitempty"`
}

type reportHost struct {
	Name         string   `json:"name"`
	Ingress      string   `json:"ingress"`
	TLS          bool     `json:"tls"`
	Certificates []string `json:"certificates,omitempty"`
	// Passthrough is the pool to which TLS connections are carried as they are.
	Passthrough string        `json:"passthrough,omitempty"`
	Routes      []reportRoute `json:"routes"`

	// passedTo are the endpoints of Passthrough.
	passedTo []string
}

type reportRoute struct {
	Path      string   `json:"path"`
	Kind      string   `json:"kind"`
	Ingress   string   `json:"ingress"`
	Field     string   `json:"field"`
	Backend   string   `json:"backend"`
	Status    int      `json:"status,omitempty"`
	Reason    string   `json:"reason,omitempty"`
	Endpoints []string `json:"endpoints,omitempty"`
	Redirect  bool     `json:"redirectToHTTPS,omitempty"`
}

type reportVerdict struct {
	Level   string `json:"level"`
	Object  string `json:"object"`
	Field   string `json:"field,omitempty"`
	File    string `json:"file,omitempty"`
	Reason  string `json:"reason"`
	Message string `json:"message"`

	level translate.Level
}

// reportOn translates set and reports. Compiling the result proves that it would be
// taken.
func (s *settings) reportOn(set manifest.Set, now time.Time) (*report, error) {
	b := newBoard(discard{}, nil, nil)
	f := newFeed(s.options(), b)
	if err := f.apply(set.Objects, nil, now, now); err != nil {
		return nil, err
	}
	if _, err := snapshot.Compile(nil, f.result.Spec, func(*snapshot.Route) any { return nil }); err != nil {
		return nil, err
	}
	r := &report{Hosts: []reportHost{}, Verdicts: []reportVerdict{}}
	for _, h := range f.result.Spec.Hosts {
		r.addHost(h, b)
	}
	for _, p := range set.Problems {
		r.addProblem(p)
	}
	for _, v := range slices.Concat(f.result.Verdicts, f.foreign.judge(f.result.Ingresses)) {
		r.add(v.Level, reportVerdict{
			Object: v.Origin.Object().String(), Field: v.Origin.Field, Reason: string(v.Reason), Message: v.Message,
		})
	}
	// The worst first; within a level as they came.
	slices.SortStableFunc(r.Verdicts, func(a, b reportVerdict) int { return cmp.Compare(b.level, a.level) })
	return r, nil
}

func (r *report) addHost(h *snapshot.Host, b *board) {
	host := reportHost{Name: h.Name, Ingress: objectName(h.Origin), TLS: h.TLS != nil, Routes: []reportRoute{}}
	if h.TLS != nil {
		host.Passthrough, host.passedTo = h.TLS.Passthrough, b.addresses(h.TLS.Passthrough)
		for _, c := range h.TLS.Certificates {
			host.Certificates = append(host.Certificates, fmt.Sprintf("%s/%s %s until %s",
				c.Origin.Namespace, c.Origin.Name, c.KeyType(), c.NotAfter.UTC().Format(time.DateOnly)))
		}
	}
	routes := slices.Clone(h.Routes)
	slices.SortFunc(routes, func(a, b *snapshot.Route) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Kind, b.Kind))
	})
	for _, x := range routes {
		route := reportRoute{
			Path: x.Path, Kind: x.Kind.String(), Ingress: objectName(x.Origin), Field: x.Origin.Field,
			Backend: objectName(x.Service), Redirect: x.Policy.RedirectHTTPS && !x.Policy.ACME,
		}
		if x.Answer != nil {
			route.Status, route.Reason = x.Answer.Status, x.Answer.Reason
		}
		route.Endpoints = b.addresses(x.Pool)
		host.Routes = append(host.Routes, route)
	}
	r.Hosts = append(r.Hosts, host)
}

func objectName(o snapshot.Origin) string {
	if o.IsZero() {
		return ""
	}
	return o.Namespace + "/" + o.Name
}

func (r *report) addProblem(p manifest.Problem) {
	if p.Level == manifest.Error && p.Object == "" {
		r.Unreadable = append(r.Unreadable, p.String())
		return
	}
	level := [...]translate.Level{manifest.Info: translate.Info, manifest.Warning: translate.Warning, manifest.Error: translate.Refused}[p.Level]
	reason := [...]string{manifest.Info: "ObjectIgnored", manifest.Warning: "ObjectDoubtful", manifest.Error: "ObjectInvalid"}[p.Level]
	place := p.File
	if p.Line > 0 {
		place = fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	r.add(level, reportVerdict{Object: p.Object, Field: p.Field, File: place, Reason: reason, Message: p.Message})
}

func (r *report) add(level translate.Level, v reportVerdict) {
	v.Level, v.level = level.String(), level
	r.Verdicts = append(r.Verdicts, v)
}

func (r *report) exit(least translate.Level) error {
	switch {
	case len(r.Unreadable) > 0:
		return &exitError{code: exitUsage}
	case len(r.Verdicts) > 0 && r.Verdicts[0].level >= least:
		return &exitError{code: exitFailure}
	}
	return nil
}

// print writes r for people.
func (r *report) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(r.Hosts) == 0 {
		fmt.Fprintln(t, "Nothing would be served.")
	} else {
		fmt.Fprintln(t, "HOST\tPATH\tKIND\tBACKEND\tENDPOINTS\tINGRESS")
	}
	for _, h := range r.Hosts {
		name := cmp.Or(h.Name, "(any)")
		for _, x := range h.Routes {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", name, x.Path, x.Kind, x.backend(), x.endpoints(), x.Ingress)
			name = ""
		}
		switch {
		case h.Passthrough != "":
			fmt.Fprintf(t, "%s\tTLS\t\tpassed through to %s\t%s\t%s\n", name, h.Passthrough, addressesText(h.passedTo), h.Ingress)
		case len(h.Certificates) > 0:
			for _, c := range h.Certificates {
				fmt.Fprintf(t, "%s\tTLS\t\t%s\t\t%s\n", name, c, h.Ingress)
				name = ""
			}
		case h.TLS:
			fmt.Fprintf(t, "%s\tTLS\t\tno usable certificate: handshakes are rejected\t\t%s\n", name, h.Ingress)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	var b strings.Builder
	for _, v := range r.Verdicts {
		fmt.Fprintf(&b, "\n%s  %s\n    %s: %s\n", strings.ToUpper(v.Level), strings.Join(present(v.File, v.Object, v.Field), " "), v.Reason, v.Message)
	}
	if len(r.Verdicts) > 0 {
		count := map[translate.Level]int{}
		for _, v := range r.Verdicts {
			count[v.level]++
		}
		fmt.Fprintf(&b, "\nVerdicts: %d refused, %d warning, %d info\n", count[translate.Refused], count[translate.Warning], count[translate.Info])
	}
	for _, u := range r.Unreadable {
		fmt.Fprintf(&b, "\nUNREADABLE  %s\n", u)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (x reportRoute) backend() string {
	if x.Redirect && x.Reason == string(outcome.Misdirected) {
		// The only requests that come for a host that is passed through.
		return "plain HTTP is redirected to HTTPS"
	}
	if x.Reason != "" {
		return strings.TrimSpace(fmt.Sprintf("%s %d %s", x.Backend, x.Status, x.Reason))
	}
	return x.Backend
}

func (x reportRoute) endpoints() string {
	if x.Reason != "" {
		return ""
	}
	return addressesText(x.Endpoints)
}

func addressesText(list []string) string {
	if n := len(list); n > 2 {
		return fmt.Sprintf("%s and %d more", list[0], n-1)
	}
	return cmp.Or(strings.Join(list, " "), "none")
}

func present(parts ...string) []string {
	return slices.DeleteFunc(parts, func(s string) bool { return s == "" })
}
