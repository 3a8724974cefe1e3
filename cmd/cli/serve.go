package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/cardea-dev/cardea/controllers/manifest"
	"github.com/cardea-dev/cardea/controllers/translate"
)

func newServe() *cobra.Command {
	var s settings
	var dir string
	cmd := &cobra.Command{
		Use:   "serve --manifests DIR",
		Short: "Serve a folder of Kubernetes YAML.",
		Long: text(`
			Serve the Ingresses in a folder of Kubernetes YAML, with the Services,
			EndpointSlices, TLS Secrets and IngressClasses beside them, as a cluster would.

			The folder is watched: a change is served within a fraction of a second. What is
			malformed is told in the log with file and line; everything else, and the last
			good version of the malformed objects, stays in service.

			Ingresses count whose class is that of --class, unless IngressClass objects in
			the folder say otherwise. EndpointSlices may name loopback addresses.

			Access log and handshake log go to the standard output, the program's own log to
			the standard error. SIGHUP, or POST /-/reload on --debug-addr, reads every file
			again; the answer says what changed and what failed.`),
		Example: text(`
			cardea serve --manifests ./manifests
			cardea serve --manifests /etc/cardea --http-addr :80 --https-addr :443 --log-format text`),
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dir == "" {
				return usage("--manifests is required")
			}
			p, err := s.open(cmd, processOptions{allowLoopback: true})
			if err != nil {
				return err
			}
			return p.serveFolder(cmd.Context(), dir, func() {})
		},
	}
	cmd.Flags().StringVar(&dir, "manifests", "", "Folder of *.yaml, *.yml and *.json files to serve.")
	s.bind(cmd.Flags())
	return cmd
}

// serveFolder runs p on a folder. It calls live when the first table is in force.
func (p *process) serveFolder(ctx context.Context, dir string, live func()) error {
	folder := manifest.NewFolder(dir)
	set, err := folder.Read()
	if err != nil {
		p.close()
		return unreadable(err)
	}
	f := newFollower(p, folder)
	f.onProcess = p.takeProcess
	p.observer.SetLastGood(f.secrets.lastGood)
	p.observer.SetConfigMapLastGood(f.configMaps.lastGood)
	p.reread = f.readAgain
	p.setFiles = func(files translate.Files) error { return f.setFiles(files, p.closing) }
	return p.run(ctx, func(ctx context.Context) {
		f.take(set)
		live()
		f.follow(ctx, folder)
	})
}
