//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// inside says that this process runs in a network namespace of its own.
const inside = "CARDEA_SCALE_NAMESPACE"

// enter runs this program again in a network namespace that has only a loopback
// device: an API server refuses loopback addresses in EndpointSlices, and there all
// of 198.18.0.0/15 (RFC 2544) is local.
func enter() error {
	tools, err := exec.Command("hack/tools/build", "etcd", "kube-apiserver", "kubectl").Output()
	if err != nil {
		return fmt.Errorf("hack/tools/build: %w", err)
	}
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		return err
	}
	flags := "-n"
	if os.Getuid() != 0 {
		flags = "-Urn"
	}
	const script = `ip link set lo up && ip route add local 198.18.0.0/15 dev lo && exec "$@"`
	env := append(os.Environ(), inside+"=1", "KUBEBUILDER_ASSETS="+strings.TrimSpace(string(tools)))
	return syscall.Exec(unshare, append([]string{unshare, flags, "sh", "-c", script, "sh"}, os.Args...), env)
}

// A cluster is a real API server with its etcd.
type cluster struct {
	env        *envtest.Environment
	client     *kubernetes.Clientset
	kubeconfig string
	issuer     *authority
	// processes counts those that were started: each has an address of its own.
	processes int
}

func newCluster(dir string) (*cluster, error) {
	log.SetLogger(logr.Discard())
	if err := os.Setenv("TMPDIR", dir); err != nil { // etcd's folder, too
		return nil, err
	}
	env := &envtest.Environment{
		CRDDirectoryPaths: []string{"config/crd"}, ErrorIfCRDPathMissing: true,
		ControlPlaneStartTimeout: 2 * time.Minute, ControlPlaneStopTimeout: time.Minute,
	}
	args := env.ControlPlane.GetAPIServer().Configure()
	args.Set("advertise-address", "198.18.0.1")
	args.Set("service-cluster-ip-range", "198.19.0.0/16")
	args.Set("endpoint-reconciler-type", "none")
	config, err := env.Start()
	if err != nil {
		return nil, fmt.Errorf("start etcd and kube-apiserver: %w", err)
	}
	c := &cluster{env: env, kubeconfig: filepath.Join(dir, "kubeconfig")}
	if err := c.prepare(config); err != nil {
		return nil, errors.Join(err, c.end())
	}
	return c, nil
}

func (c *cluster) prepare(config *rest.Config) (err error) {
	config.QPS = -1
	if c.client, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	if c.issuer, err = newAuthority(); err != nil {
		return err
	}
	user, err := c.env.AddUser(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, config)
	if err != nil {
		return err
	}
	data, err := user.KubeConfig()
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.kubeconfig, data, 0o600); err != nil {
		return err
	}
	class := &networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: "cardea"}}
	class.Spec.Controller = "cardea.dev/ingress-controller"
	if _, err := c.client.NetworkingV1().IngressClasses().Create(context.Background(), class, metav1.CreateOptions{}); err != nil {
		return err
	}
	return c.namespace("cardea")
}

func (c *cluster) end() error { return c.env.Stop() }

func (c *cluster) namespace(name string) error {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	_, err := c.client.CoreV1().Namespaces().Create(context.Background(), ns, metav1.CreateOptions{})
	return err
}

// A tenant is a namespace of a cluster with hosts, each with an Ingress and a
// Secret, and a process that watches this namespace.
type tenant struct {
	*cluster
	name  string
	hosts int
	mu    sync.Mutex
	// second are the hosts that have a second route.
	second map[int]bool
}

// newTenant makes the objects.
func (c *cluster) newTenant(name string, hosts int, backends ...netip.AddrPort) (*tenant, error) {
	t := &tenant{cluster: c, name: name, hosts: hosts, second: map[int]bool{}}
	if err := c.namespace(name); err != nil {
		return nil, err
	}
	for i, b := range backends {
		if err := t.service(fmt.Sprintf("service-%d", i), b); err != nil {
			return nil, err
		}
	}
	const writers = 16
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, writers)
	for range writers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < hosts; i = int(next.Add(1)) - 1 {
				if err := t.create(i); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	return t, <-errs
}

func (t *tenant) service(name string, backend netip.AddrPort) error {
	port, portName := int32(backend.Port()), "http"
	meta := metav1.ObjectMeta{Namespace: t.name, Name: name}
	service := &corev1.Service{ObjectMeta: meta}
	service.Spec.Ports = []corev1.ServicePort{{Name: portName, Port: 80}}
	if _, err := t.client.CoreV1().Services(t.name).Create(context.Background(), service, metav1.CreateOptions{}); err != nil {
		return err
	}
	meta.Labels = map[string]string{discoveryv1.LabelServiceName: name}
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: meta, AddressType: discoveryv1.AddressTypeIPv4,
		Ports:     []discoveryv1.EndpointPort{{Name: &portName, Port: &port}},
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{backend.Addr().String()}}},
	}
	_, err := t.client.DiscoveryV1().EndpointSlices(t.name).Create(context.Background(), slice, metav1.CreateOptions{})
	return err
}

func (t *tenant) create(i int) error {
	secret, err := t.secret(i, serialOf(i))
	if err != nil {
		return err
	}
	if _, err := t.client.CoreV1().Secrets(t.name).Create(context.Background(), secret, metav1.CreateOptions{}); err != nil {
		return err
	}
	_, err = t.client.NetworkingV1().Ingresses(t.name).Create(context.Background(), t.ingress(i, false), metav1.CreateOptions{})
	return err
}

func (t *tenant) secret(i int, serial int64) (*corev1.Secret, error) {
	certPEM, keyPEM, err := t.issuer.issue(hostName(i), serial)
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: t.name, Name: objectName(i)},
		Type:       corev1.SecretTypeTLS,
		Data:       map[string][]byte{corev1.TLSCertKey: certPEM, corev1.TLSPrivateKeyKey: keyPEM},
	}, err
}

func objectName(i int) string { return fmt.Sprintf("h%05d", i) }

func (t *tenant) ingress(i int, second bool) *networkingv1.Ingress {
	class, kind := "cardea", networkingv1.PathTypePrefix
	path := func(path, service string) networkingv1.HTTPIngressPath {
		return networkingv1.HTTPIngressPath{Path: path, PathType: &kind, Backend: networkingv1.IngressBackend{
			Service: &networkingv1.IngressServiceBackend{Name: service, Port: networkingv1.ServiceBackendPort{Name: "http"}},
		}}
	}
	paths := []networkingv1.HTTPIngressPath{path("/", "service-0")}
	if second {
		paths = append(paths, path("/two", "service-1"))
	}
	in := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Namespace: t.name, Name: objectName(i)}}
	in.Spec.IngressClassName = &class
	in.Spec.TLS = []networkingv1.IngressTLS{{Hosts: []string{hostName(i)}, SecretName: objectName(i)}}
	in.Spec.Rules = []networkingv1.IngressRule{{Host: hostName(i)}}
	in.Spec.Rules[0].HTTP = &networkingv1.HTTPIngressRuleValue{Paths: paths}
	return in
}

// put implements source. What it returns is when the API server had answered.
func (t *tenant) put(i int, serial int64, second bool) (time.Time, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.second[i] != second {
		t.second[i] = second
		_, err := t.client.NetworkingV1().Ingresses(t.name).Update(context.Background(), t.ingress(i, second), metav1.UpdateOptions{})
		if err != nil || second {
			return time.Now(), err
		}
	}
	secret, err := t.secret(i, serial)
	if err != nil {
		return time.Time{}, err
	}
	_, err = t.client.CoreV1().Secrets(t.name).Update(context.Background(), secret, metav1.UpdateOptions{})
	return time.Now(), err
}

// serve implements source.
func (t *tenant) serve(program string) (*process, error) {
	t.processes++
	ip := fmt.Sprintf("198.18.0.%d", 10+t.processes)
	return launch(program, append(os.Environ(), "POD_NAMESPACE=cardea", fmt.Sprintf("POD_NAME=cardea-%d", t.processes)),
		"controller", "--kubeconfig", t.kubeconfig, "--watch-namespace", t.name,
		"--http-addr", ip+":80", "--https-addr", ip+":443", "--admin-addr", ip+":10254", "--debug-addr", ip+":10255",
		"--access-log=false", "--handshake-log=off")
}

func (t *tenant) count() int { return t.hosts }
