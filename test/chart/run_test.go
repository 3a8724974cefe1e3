package chart

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/cardea-dev/cardea/test/harness"
)

// TestRightsFitFlags installs the chart and runs the program with the flags of the
// pod and the rights of its service account, for each kind of installation: it
// becomes ready, serves what it should, leads, and nothing that it asks for is
// forbidden.
func TestRightsFitFlags(t *testing.T) {
	const own = "fitting"
	namespaces(t, own, "fitting-shop", "fitting-other")
	authority := harness.NewAuthority(t)
	for _, namespace := range []string{"fitting-shop", "fitting-other"} {
		host := namespace + ".example.com"
		mustKubectl(t, "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: "+namespace+"}\nspec: {ports: [{name: http, port: 80}]}\n"+
			ingress(namespace, host)+authority.Secret(namespace, "tls", harness.Leaf{Names: []string{host}}), "apply", "-f", "-")
	}
	mustKubectl(t, authority.Secret(own, "default", harness.Leaf{Names: []string{"default.example.com"}}), "apply", "-f", "-")
	for _, c := range []struct {
		name, values string
		// other is what becomes of the Ingress in the namespace fitting-other.
		other string
	}{
		{"default", "", "served"},
		{"Secrets of some namespaces", "rbac: {secrets: namespaces, secretNamespaces: [fitting-shop]}\ncontroller: {extraArgs: {default-ssl-certificate: fitting/default}}", "without certificate"},
		{"one namespace", "controller: {scope: {enabled: true, namespace: fitting-shop}, extraArgs: {default-ssl-certificate: fitting/default}}", "not served"},
		{"addresses of nodes", "controller: {service: {enabled: false}}", "served"},
		{"settings for all Ingresses", "controller: {config: {use-http2: \"false\"}, ingressClassParameters: {tls: {policy: modern}}}", "served"},
		{"the webhook", "controller: {admissionWebhooks: {enabled: true}}", "served"},
		{"names of one's own", "fullnameOverride: edge\nserviceAccount: {name: someone}", "served"},
	} {
		t.Run(c.name, func(t *testing.T) {
			values := writeFile(t, "values.yaml", c.values)
			if out, err := helm(t, "install", "cardea", chartDir, "--namespace", own, "--values", values); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			defer func() {
				if out, err := helm(t, "uninstall", "cardea", "--namespace", own); err != nil {
					t.Errorf("%v\n%s", err, out)
				}
			}()
			p := runPod(t, own, objects(t, mustRender(t, c.values, "--namespace", own).manifest))
			var checked string
			p.Until("the table is that of the cluster", func() error {
				spec, err := p.Get(p.Debug, "/debug/spec")
				checked = spec
				if err == nil && !strings.Contains(spec, "fitting-shop.example.com") {
					err = errors.New("the host is not in it")
				}
				return err
			})
			client := p.Client(authority)
			if _, err := client.Handshake("fitting-shop.example.com", nil); err != nil {
				t.Errorf("handshake with the host = %v, want success", err)
			}
			_, err := client.Handshake("fitting-other.example.com", nil)
			if served := err == nil; served != (c.other == "served") {
				t.Errorf("handshake with the other host = %v, want it to be %s", err, c.other)
			}
			if inTable := strings.Contains(checked, "fitting-other.example.com"); inTable != (c.other != "not served") {
				t.Errorf("the other host is in the table: %v, want it to be %s", inTable, c.other)
			}
			p.Until("it leads", func() error {
				page, err := p.Get(p.Admin, "/metrics")
				if err == nil && !strings.Contains(page, "\ncardea_leader 1\n") {
					err = errors.New("not the leader")
				}
				return err
			})
			p.Stop()
			for line := range strings.SplitSeq(p.Stderr(), "\n") {
				if strings.Contains(line, "forbidden") {
					t.Errorf("something is forbidden: %s", line)
				}
			}
		})
	}
}

// runPod runs the program as the pod of the workload would run it.
func runPod(t *testing.T, namespace string, list []object) *harness.Program {
	t.Helper()
	for _, o := range list {
		if o.kind() != "Deployment" {
			continue
		}
		pod := o["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)
		account := pod["serviceAccountName"].(string)
		user, err := cluster.env.AddUser(envtest.User{
			Name:   "system:serviceaccount:" + namespace + ":" + account,
			Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		data, err := user.KubeConfig()
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "kubeconfig")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		var args []string
		for _, arg := range pod["containers"].([]any)[0].(map[string]any)["args"].([]any) {
			args = append(args, arg.(string))
			if strings.HasPrefix(arg.(string), "--webhook-addr=") {
				args = append(args, "--webhook-addr=127.0.0.1:0")
			}
		}
		t.Setenv("POD_NAMESPACE", namespace)
		t.Setenv("POD_NAME", "one")
		p := harness.Start(t, append(args, "--kubeconfig", file, "--shutdown-delay", "0s")...)
		p.Until("it is ready", func() error { _, err := p.Get(p.Admin, "/readyz"); return err })
		return p
	}
	t.Fatal("there is no Deployment")
	return nil
}
