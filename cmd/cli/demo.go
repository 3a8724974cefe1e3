package cli

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
)

// demoHost is the host of the demo's Ingress.
const demoHost = "shop.example.com"

func newDemo() *cobra.Command {
	var s settings
	var dir string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Serve an example, without a cluster.",
		Long: text(`
			Write an example folder (an Ingress with two paths, its TLS Secret, Services and
			EndpointSlices), start two backends that answer with what they saw, serve it all,
			and print what to try. Edit a file and it is live.

			The certificate comes from an authority of the demo's own, made at the start; its
			certificate is in ca.crt beside the YAML.`),
		Example: text(`
			cardea demo
			cardea demo --dir ./demo --http-addr 127.0.0.1:80 --https-addr 127.0.0.1:443`),
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDemo(cmd, &s, dir) },
	}
	cmd.Flags().StringVar(&dir, "dir", "", "Folder to write the example to; files that are there already are kept. Without it, a temporary folder that is removed at the end.")
	s.bind(cmd.Flags())
	setDefault(cmd.Flags(), "log-format", "text")
	return cmd
}

func runDemo(cmd *cobra.Command, s *settings, dir string) error {
	p, err := s.open(cmd, processOptions{allowLoopback: true})
	if err != nil {
		return err
	}
	if dir == "" {
		if dir, err = os.MkdirTemp("", "cardea-demo-"); err != nil {
			p.close()
			return err
		}
		defer os.RemoveAll(dir)
	}
	backends := make(map[string]int)
	for _, service := range demoServices {
		e, err := newEcho(service, p.log)
		if err != nil {
			p.close()
			return err
		}
		defer e.close()
		go e.serve()
		backends[service] = e.addr().Port
	}
	if err := writeDemo(dir, backends, time.Now()); err != nil {
		p.close()
		return err
	}
	return p.serveFolder(cmd.Context(), dir, func() { printDemo(p.stdout, p, dir) })
}

// printDemo prints commands that work as they are printed.
func printDemo(w io.Writer, p *process, dir string) {
	plain, secure := port(p.data.Addr("http")), port(p.data.Addr("https"))
	resolve := func(host, listener string) string {
		a := p.data.Addr(listener)
		return fmt.Sprintf("--resolve %s:%d:%s", host, port(a), reachable(a))
	}
	ca := "--cacert " + quote(filepath.Join(dir, "ca.crt"))
	fmt.Fprintf(w, `
Cardea serves the Kubernetes objects in %[1]s.

Ask the two paths of the Ingress, over HTTPS:

  curl %[2]s %[3]s https://%[5]s:%[7]d/
  curl %[2]s %[3]s 'https://%[5]s:%[7]d/api/orders?id=7'

Plain HTTP is redirected:

  curl -i %[4]s http://%[5]s:%[6]d/

A name that no Ingress declares gets no certificate; the handshake log says why:

  curl %[2]s %[8]s https://unknown.example.com:%[7]d/

What answers a URL, and why:

  %[9]s explain https://%[5]s:%[7]d/api/orders%[10]s

Edit %[11]s and it is live: no reload, no restart.

`, dir, ca, resolve(demoHost, "https"), resolve(demoHost, "http"), demoHost, plain, secure,
		resolve("unknown.example.com", "https"), quote(os.Args[0]), askFlag(p, dir), filepath.Join(dir, "ingress.yaml"))
}

// reachable is the address by which a client on this host reaches a.
func reachable(a net.Addr) string {
	ip := a.(*net.TCPAddr).AddrPort().Addr().Unmap()
	switch {
	case ip.IsUnspecified():
		return "127.0.0.1"
	case ip.Is6():
		return "[" + ip.String() + "]"
	}
	return ip.String()
}

// askFlag is the flag by which explain finds out; none if this process is where
// explain looks by itself.
func askFlag(p *process, dir string) string {
	if p.debug == nil {
		return " --manifests " + quote(dir)
	}
	if a := p.debug.Addr().String(); a != defaultDebugAddr {
		return " --admin " + a
	}
	return ""
}

// quote makes s one word of a shell.
func quote(s string) string {
	for _, c := range s {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '/' || c == '.' || c == '-' || c == '_' || c == '+' || c == ':') {
			return "'" + replaceQuotes(s) + "'"
		}
	}
	return s
}
