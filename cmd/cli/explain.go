package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cardea-dev/cardea/controllers/manifest"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// defaultDebugAddr is where explain looks for a running process.
const defaultDebugAddr = "127.0.0.1:10255"

func newExplain() *cobra.Command {
	var s settings
	var dir, admin, output string
	var httpsPort int
	cmd := &cobra.Command{
		Use:   "explain URL [--manifests DIR | --admin ADDR]",
		Short: "Say which Ingress, path, backend and certificate answer a URL, and why.",
		Long: text(`
			Say which Ingress, path, backend, endpoint, certificate and policies answer a URL,
			and why the other paths of the host do not. The answer is that of the matcher
			which serves requests.

			Without --manifests, a running process is asked on its debug address.

			The exit code is 0 if a backend or a redirect answers, 1 if something is in the
			way, and 2 if the question could not be asked.`),
		Example: text(`
			cardea explain https://shop.example.com/api/orders
			cardea explain https://shop.example.com/api/orders --manifests ./manifests
			kubectl -n cardea exec deploy/cardea -- /cardea explain https://shop.example.com/`),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage("want one URL, got %d arguments", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var e *explanation
			var err error
			_, err = namespacedName("configmap", s.configMap)
			switch {
			case err != nil:
				return err
			case output != "text" && output != "json":
				return usage("--output %q: want text or json", output)
			case dir != "" && cmd.Flags().Changed("admin"):
				return usage("--manifests and --admin exclude each other")
			case dir != "":
				e, err = s.explainFolder(dir, args[0], httpsPort)
			default:
				e, err = explainRunning(cmd, admin, args[0])
			}
			if err != nil {
				return unreadable(err)
			}
			if output == "json" {
				err = writeJSON(cmd.OutOrStdout(), e)
			} else {
				err = e.print(cmd.OutOrStdout())
			}
			if err == nil && e.Reason != "" {
				return &exitError{code: exitFailure}
			}
			return err
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&dir, "manifests", "", "Folder of Kubernetes YAML to explain from.")
	f.StringVar(&admin, "admin", defaultDebugAddr, "Address of a running process to ask: its --debug-addr.")
	f.StringVarP(&output, "output", "o", "text", "Format of the answer: text or json.")
	f.IntVar(&httpsPort, "external-https-port", 443, "Port of HTTPS as clients see it, with --manifests.")
	s.bindClass(f)
	return cmd
}

// explainFolder explains from a folder, as serve would serve it.
func (s *settings) explainFolder(dir, raw string, httpsPort int) (*explanation, error) {
	now := time.Now()
	set, err := manifest.NewFolder(dir).Read()
	if err != nil {
		return nil, err
	}
	b := newBoard(discard{}, nil, nil)
	f := newFeed(s.options(), b)
	if err := f.apply(set.Objects, nil, now, now); err != nil {
		return nil, err
	}
	compiled, err := snapshot.Compile(nil, f.result.Spec, func(*snapshot.Route) any { return nil })
	if err != nil {
		return nil, err
	}
	t := table{snapshot: compiled, endpoints: b.of, verdicts: f.result.Verdicts, httpsPort: httpsPort}
	return t.explain(raw, now)
}

// explainRunning asks a process on its debug address.
func explainRunning(cmd *cobra.Command, addr, raw string) (*explanation, error) {
	u := "http://" + addr + "/debug/explain?format=json&url=" + url.QueryEscape(raw)
	req, err := http.NewRequestWithContext(cmd.Context(), http.MethodGet, u, nil)
	if err != nil {
		return nil, err
	}
	client := http.Client{Timeout: 10 * time.Second}
	res, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("no process answers on %s (--admin names its debug address; --manifests needs none): %w", addr, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 16<<20))
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s: %s", addr, res.Status, strings.TrimSpace(string(body)))
	}
	e := new(explanation)
	if err := json.Unmarshal(body, e); err != nil {
		return nil, fmt.Errorf("%s: not the debug address of cardea: %w", addr, err)
	}
	return e, nil
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
