//go:build cluster

package cluster

import (
	"context"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// A release is an installation of the chart. Each has an ingress class and a
// controller name of its own, so that several share the cluster.
type release struct {
	namespace, name string
	class           string
	front           front
}

// chart is the folder of the chart under test.
func chart() string {
	if dir := os.Getenv("CARDEA_E2E_CHART"); dir != "" {
		return dir
	}
	return "../../charts/cardea"
}

// values are what every installation of a test sets: the image that was loaded,
// NodePorts that the cluster chooses, a class of its own, and short times, so that
// pods that end are gone soon.
func values(class string) []string {
	repository, tag, _ := strings.Cut(world.image, ":")
	return []string{
		"--set", "controller.image.repository=" + repository,
		"--set", "controller.image.tag=" + tag,
		"--set", "controller.image.pullPolicy=Never",
		"--set", "controller.service.type=NodePort",
		"--set", "controller.ingressClassResource.name=" + class,
		"--set", "controller.ingressClassResource.controllerValue=cardea.dev/" + class,
		"--set", "controller.shutdownDelaySeconds=3",
		"--set", "controller.terminationGracePeriodSeconds=20",
		"--set", "controller.resources.requests.cpu=10m",
	}
}

// install installs the chart into a namespace of its own, waits until it is ready
// and uninstalls it at the end of the test.
func install(t *testing.T, name string, set ...string) *release {
	t.Helper()
	r := installAt(t, "restricted", name, set...)
	r.front = r.ports(t)
	return r
}

// installAt is install in a namespace of another level of Pod Security, without
// looking for NodePorts.
func installAt(t *testing.T, level, name string, set ...string) *release {
	t.Helper()
	haveCRD(t)
	r := &release{namespace: namespaceAt(t, level, name), name: name, class: name}
	args := append([]string{"install", name, chart(), "-n", r.namespace, "--wait", "--timeout", "2m", "--set", "crds.enabled=false"}, values(r.class)...)
	if _, err := command(t.Context(), nil, "helm", append(args, set...)...); err != nil {
		t.Fatalf("%v\n%s", err, r.state())
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(r.state())
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		// Without waiting for the pods: those of the next test do not mind them.
		if _, err := command(ctx, nil, "helm", "uninstall", name, "-n", r.namespace); err != nil {
			t.Error(err)
		}
	})
	return r
}

// haveCRD installs the CRD unless some release did.
func haveCRD(t *testing.T) {
	t.Helper()
	if _, err := command(t.Context(), nil, "kubectl", "get", "crd", "ingressclassparameters.cardea.dev"); err != nil {
		must(t, "kubectl", "apply", "--server-side", "-f", "../../config/crd")
	}
	must(t, "kubectl", "wait", "--for=condition=Established", "crd/ingressclassparameters.cardea.dev")
}

// ports returns where the NodePorts of the release are.
func (r *release) ports(t *testing.T) front {
	t.Helper()
	type services struct {
		Items []struct {
			Spec struct {
				Ports []struct{ Port, NodePort int }
			}
		}
	}
	var f front
	for _, s := range objects[services](t, "services", "-n", r.namespace, "-l", "app.kubernetes.io/instance="+r.name).Items {
		for _, p := range s.Spec.Ports {
			addr := fmt.Sprintf("%s:%d", world.node, p.NodePort)
			switch {
			case p.NodePort == 0: // the Service for metrics
			case p.Port == 80:
				f.http = addr
			case p.Port == 443:
				f.https = addr
			}
		}
	}
	if f.http == "" || f.https == "" {
		t.Fatalf("release %q has no NodePorts for 80 and 443: %+v", r.name, f)
	}
	return f
}

// trusting is the front with clients that trust these authorities.
func (f front) trusting(roots *x509.CertPool) front {
	f.roots = roots
	return f
}

// deployment returns kind/name of what runs the release.
func (r *release) deployment(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(must(t, "kubectl", "-n", r.namespace, "get", "deployment", "-l", "app.kubernetes.io/instance="+r.name, "-o", "name"))
}

// settled waits until a rollout is over and every pod that ends is gone.
func settled(t *testing.T, namespace, deployment, selector string) {
	t.Helper()
	must(t, "kubectl", "-n", namespace, "rollout", "status", deployment, "--timeout=2m")
	type pods struct {
		Items []struct {
			Metadata struct{ DeletionTimestamp string }
		}
	}
	eventually(t, time.Minute, "pods that end are gone", func() error {
		ending := 0
		for _, p := range objects[pods](t, "pods", "-n", namespace, "-l", selector).Items {
			if p.Metadata.DeletionTimestamp != "" {
				ending++
			}
		}
		if ending > 0 {
			return fmt.Errorf("%d pods are ending", ending)
		}
		pause(t, 200*time.Millisecond)
		return nil
	})
}

// state describes the pods of the release and the ends of their logs, without
// what went well.
func (r *release) state() string {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var all strings.Builder
	for _, args := range [][]string{
		{"get", "pods,events"},
		{"logs", "-l", "app.kubernetes.io/instance=" + r.name, "--tail=500", "--prefix"},
	} {
		out, err := command(ctx, nil, "kubectl", append([]string{"-n", r.namespace}, args...)...)
		for line := range strings.Lines(out) {
			if !strings.Contains(line, `"reason":"ok"`) {
				all.WriteString(line)
			}
		}
		if err != nil {
			all.WriteString(err.Error())
		}
	}
	return all.String()
}

// backend is the manifest of a Deployment of the tests' application and of one
// Service for each name, with a named port "http". Services differ in the port of
// the pods that they lead to, 9000 and up, by which answers tell them apart.
func backend(namespace, name string, replicas int, services ...string) string {
	m := fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {namespace: %[1]s, name: %[2]s}
spec:
  replicas: %[3]d
  selector: {matchLabels: {app: %[2]s}}
  strategy: {rollingUpdate: {maxUnavailable: 0}}
  template:
    metadata: {labels: {app: %[2]s}}
    spec:
      automountServiceAccountToken: false
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: backend
        image: %[4]s
        imagePullPolicy: Never
        args: ["-ports=%[5]d"]
        readinessProbe: {httpGet: {path: /, port: 9000}, periodSeconds: 1}
        securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
`, namespace, name, replicas, world.backend, len(services))
	for i, s := range services {
		m += fmt.Sprintf(`---
apiVersion: v1
kind: Service
metadata: {namespace: %s, name: %s}
spec:
  selector: {app: %s}
  ports: [{name: http, port: 8080, targetPort: %d}]
`, namespace, s, name, 9000+i)
	}
	return m
}

// deployBackend applies it and waits until its pods are ready and every Service
// has them as endpoints.
func deployBackend(t *testing.T, namespace, name string, replicas int, services ...string) {
	t.Helper()
	apply(t, backend(namespace, name, replicas, services...))
	must(t, "kubectl", "-n", namespace, "rollout", "status", "deployment/"+name, "--timeout=1m")
	for _, s := range services {
		eventually(t, 20*time.Second, "the Service has endpoints", func() error {
			ready := must(t, "kubectl", "-n", namespace, "get", "endpointslices", "-l", "kubernetes.io/service-name="+s, "-o", "jsonpath={.items[*].endpoints[*].conditions.ready}")
			if n := strings.Count(ready, "true"); n != replicas {
				return fmt.Errorf("Service %q has %d ready endpoints, want %d", s, n, replicas)
			}
			return nil
		})
	}
}

// tlsIngress is an Ingress "web" for one host, served with the Secret "tls" from
// the Service "web".
func (r *release) tlsIngress(host string) string {
	return fmt.Sprintf(`
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {namespace: %[1]s, name: web}
spec:
  ingressClassName: %[2]s
  tls: [{hosts: [%[3]s], secretName: tls}]
  rules:
  - host: %[3]s
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: web, port: {name: http}}}}
`, r.namespace, r.class, host)
}
