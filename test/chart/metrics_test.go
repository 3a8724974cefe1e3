package chart

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/cardea-dev/cardea/test/harness"
)

// series are the names of series that a program has, with the names of their
// labels.
type series map[string]map[string]bool

// scrape adds what a page of metrics has.
func (s series) scrape(page string) {
	for line := range strings.SplitSeq(page, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		name, rest, labelled := strings.Cut(line[:strings.LastIndexByte(line, ' ')], "{")
		if s[name] == nil {
			s[name] = make(map[string]bool)
		}
		for labelled && rest != "}" {
			label, after, _ := strings.Cut(rest, `="`)
			s[name][label] = true
			end := 0
			for after[end] != '"' {
				if after[end] == '\\' {
					end++
				}
				end++
			}
			rest = strings.TrimPrefix(after[end+1:], ",")
		}
	}
}

// realSeries runs the program twice, on a folder with backends and in a cluster,
// lets clients succeed and fail, and returns what its pages of metrics have then.
func realSeries(t *testing.T) series {
	t.Helper()
	all := make(series)
	authority, stranger := harness.NewAuthority(t), harness.NewAuthority(t)

	dir := t.TempDir()
	harness.Write(t, dir, "shop.yaml", manifest("shop", "shop.example.com")+
		authority.Secret("shop", "tls", harness.Leaf{Names: []string{"shop.example.com"}})+
		harness.Service("shop", "web", harness.Backend(t, "web")))
	p := harness.Serve(t, dir, "--default-tls-self-signed")
	client := p.Client(authority)
	for range 3 {
		if answer, err := client.Do(http.MethodGet, "https://shop.example.com/", nil); err != nil || answer.Status != http.StatusOK {
			t.Fatalf("GET = %+v, %v, want 200", answer, err)
		}
	}
	if _, err := client.Do(http.MethodGet, "http://nobody.example.com/", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Client(stranger).Handshake("shop.example.com", nil); err == nil {
		t.Fatal("a client that does not trust the certificate took it")
	}
	careless := func(c *tls.Config) { c.InsecureSkipVerify = true }
	if _, err := client.Handshake("unknown.example.com", careless); err != nil {
		t.Fatalf("a client that takes anything does not get the default certificate: %v", err)
	}
	p.Until("the outcomes are counted", func() error {
		page, err := p.Get(p.Admin, "/metrics")
		if err != nil {
			return err
		}
		for _, want := range []string{`reason="client_alert_bad_certificate"`, `reason="no_route"`, "cardea_tls_default_certificate_total{", "cardea_connection_duration_seconds_count{"} {
			if !strings.Contains(page, want) {
				return fmt.Errorf("no %s", want)
			}
		}
		all.scrape(page)
		return nil
	})
	all.scrape(inCluster(t, authority))
	return all
}

// inCluster returns the page of a controller that serves a last good certificate and
// verifies with last good authorities.
func inCluster(t *testing.T, authority *harness.Authority) string {
	t.Helper()
	namespaces(t, "cardea", "metrics")
	mustKubectl(t, "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: metrics}\nspec: {ports: [{name: http, port: 80}]}\n"+
		manifest("metrics", "last.example.com")+
		authority.Secret("metrics", "tls", harness.Leaf{Names: []string{"last.example.com"}})+
		"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: ca, namespace: metrics}\ndata: "+authority.Bundle()+
		"\n---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: verified, namespace: metrics, annotations: {cardea.dev/backend-protocol: HTTPS, cardea.dev/backend-tls-ca-configmap: ca}}\n"+
		"spec: {ingressClassName: cardea, defaultBackend: {service: {name: web, port: {name: http}}}}\n", "apply", "-f", "-")
	t.Cleanup(func() { mustKubectlAfter(t, "delete", "ingressclass", "cardea") })
	t.Setenv("POD_NAMESPACE", "cardea")
	t.Setenv("POD_NAME", "one")
	p := harness.Start(t, "controller", "--kubeconfig", kubeconfig(t))
	p.Until("it is ready", func() error { _, err := p.Get(p.Admin, "/readyz"); return err })
	mustKubectl(t, "", "-n", "metrics", "patch", "secret", "tls", "--patch", `{"stringData":{"tls.crt":"broken"}}`)
	mustKubectl(t, "", "-n", "metrics", "patch", "configmap", "ca", "--patch", `{"data":{"ca.crt":"broken"}}`)
	var page string
	p.Until("the last good content of the Secret is served, and there is a leader", func() (err error) {
		page, err = p.Get(p.Admin, "/metrics")
		for _, want := range []string{`cardea_secret_last_good{namespace="metrics",secret="tls"} 1`, `cardea_configmap_last_good{configmap="ca",namespace="metrics"} 1`, "cardea_leader 1", `reason="SecretInvalid"`, "cardea_api_server_reachable 1", "cardea_cluster_synced 1"} {
			if err == nil && !strings.Contains(page, want) {
				err = fmt.Errorf("no %s", want)
			}
		}
		return err
	})
	return page
}

// manifest returns the class and an Ingress.
func manifest(namespace, host string) string {
	return "---\napiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: cardea}\nspec: {controller: cardea.dev/ingress-controller}\n" + ingress(namespace, host)
}

// ingress returns an Ingress of the class cardea.
func ingress(namespace, host string) string {
	return fmt.Sprintf(`---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: %[1]s, namespace: %[1]s}
spec:
  ingressClassName: cardea
  tls: [{hosts: [%[2]s], secretName: tls}]
  rules:
  - host: %[2]s
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {name: http}}}}]}
`, namespace, host)
}
