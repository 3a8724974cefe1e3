package controllers

import (
	"cmp"
	"context"
	"encoding/json"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	typednetworkingv1 "k8s.io/client-go/kubernetes/typed/networking/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// A statusWriter keeps status.loadBalancer of our Ingresses equal to the
// addresses at which this controller is reached. Every replica follows what there
// is to write; the leader writes. What was written stays when the controller
// ends, and no address is ever replaced by none: external-dns and others read it.
type statusWriter struct {
	cfg    StatusConfig
	log    logr.Logger
	client typednetworkingv1.IngressesGetter
	wake   chan struct{}
	// nodes finds the addresses to write, nil if they do not come from nodes. It is
	// asked every nodesPause, and when led says that this replica leads now.
	nodes      *nodeFollower
	nodesPause time.Duration
	led        chan struct{}

	mu        sync.Mutex
	leading   bool
	addresses []networkingv1.IngressLoadBalancerIngress
	// all holds every Ingress, our those whose status is ours, and dirty those of
	// them that were not compared with the addresses since either changed.
	all   map[types.NamespacedName]*networkingv1.Ingress
	our   []types.NamespacedName
	mine  map[types.NamespacedName]struct{}
	dirty map[types.NamespacedName]struct{}
}

// statusRetry is the pause after a write that failed.
const statusRetry = 5 * time.Second

func newStatusWriter(cfg Config) (*statusWriter, error) {
	// The first start in a large cluster writes every Ingress: let it take its
	// time.
	slow := rest.CopyConfig(cfg.REST)
	slow.QPS, slow.Burst = 50, 100
	ingresses, err := typednetworkingv1.NewForConfig(slow)
	if err != nil {
		return nil, err
	}
	w := &statusWriter{
		cfg:    cfg.Status,
		log:    cfg.Logger,
		client: ingresses,
		wake:   make(chan struct{}, 1),
		led:    make(chan struct{}, 1),
		all:    make(map[types.NamespacedName]*networkingv1.Ingress),
		mine:   make(map[types.NamespacedName]struct{}),
		dirty:  make(map[types.NamespacedName]struct{}),
	}
	w.addresses = fixedAddresses(cfg.Status.PublishAddresses)
	if cfg.Status.PublishNodes != NodesNot {
		core, err := typedcorev1.NewForConfig(cfg.REST)
		if err != nil {
			return nil, err
		}
		w.nodes = &nodeFollower{which: cfg.Status.PublishNodes, namespace: cfg.Leader.Namespace, pod: cfg.Leader.Identity, client: core}
		w.nodesPause = cmp.Or(cfg.Status.nodesPause, nodesPause)
	}
	return w, nil
}

// Run writes while this replica leads, until ctx ends.
func (w *statusWriter) Run(ctx context.Context) {
	var following sync.WaitGroup
	defer following.Wait()
	if w.nodes != nil {
		following.Go(func() { w.followNodes(ctx) })
	}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		case <-timer.C:
		}
		if !w.writeAll(ctx) {
			timer.Reset(statusRetry)
		}
	}
}

// writeAll writes what differs; it reports whether nothing failed.
func (w *statusWriter) writeAll(ctx context.Context) bool {
	todo, addresses := w.take()
	ok := true
	for _, ingress := range todo {
		if !w.stillLeading() || ctx.Err() != nil {
			return true // the next leader compares them all
		}
		if err := w.write(ctx, ingress, addresses); err != nil {
			name := client.ObjectKeyFromObject(ingress)
			w.log.Info("the status of an ingress could not be written; will retry", "ingress", name.String(), "error", err.Error())
			w.mu.Lock()
			w.dirty[name] = struct{}{}
			w.mu.Unlock()
			ok = false
		}
	}
	return ok
}

// take returns the Ingresses whose status has to be written, and what to write.
func (w *statusWriter) take() (todo []*networkingv1.Ingress, addresses []networkingv1.IngressLoadBalancerIngress) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.leading || len(w.addresses) == 0 {
		return nil, nil
	}
	for name := range w.dirty {
		ingress := w.all[name]
		if _, mine := w.mine[name]; mine && ingress != nil && !sameAddresses(ingress.Status.LoadBalancer.Ingress, w.addresses) {
			todo = append(todo, ingress)
		}
	}
	clear(w.dirty)
	return todo, w.addresses
}

// write replaces the addresses and nothing else, whatever the Ingress's version
// is by now.
func (w *statusWriter) write(ctx context.Context, ingress *networkingv1.Ingress, addresses []networkingv1.IngressLoadBalancerIngress) error {
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"loadBalancer": map[string]any{"ingress": addresses}}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err = w.client.Ingresses(ingress.Namespace).Patch(ctx, ingress.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func (w *statusWriter) stillLeading() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.leading
}

func (w *statusWriter) lead(leading bool) {
	w.mu.Lock()
	w.leading = leading
	w.allDirty()
	w.mu.Unlock()
	w.notify()
	select {
	case w.led <- struct{}{}:
	default:
	}
}

// ingress takes in the state of an Ingress of any class.
func (w *statusWriter) ingress(o *networkingv1.Ingress) {
	w.mu.Lock()
	name := client.ObjectKeyFromObject(o)
	w.all[name] = o
	w.dirty[name] = struct{}{}
	w.mu.Unlock()
	w.notify()
}

func (w *statusWriter) gone(name types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.all, name)
	delete(w.dirty, name)
}

// ours takes in which Ingresses are ours.
func (w *statusWriter) ours(names []types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if slices.Equal(w.our, names) {
		return
	}
	mine := make(map[types.NamespacedName]struct{}, len(names))
	for _, name := range names {
		mine[name] = struct{}{}
		if _, already := w.mine[name]; !already {
			w.dirty[name] = struct{}{}
		}
	}
	w.our, w.mine = names, mine
	w.notify()
}

// service takes in the state of a Service; only the one to publish counts.
func (w *statusWriter) service(name types.NamespacedName, service *corev1.Service, gone bool) {
	if name != w.cfg.PublishService || w.cfg.PublishService.Name == "" || len(w.cfg.PublishAddresses) > 0 || gone {
		return
	}
	w.publish(serviceAddresses(service))
}

// publish replaces the addresses to write. None replaces nothing: a load balancer
// that is being replaced, or replicas that are all being restarted, come back.
func (w *statusWriter) publish(addresses []networkingv1.IngressLoadBalancerIngress) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(addresses) == 0 || sameAddresses(addresses, w.addresses) {
		return
	}
	w.addresses = addresses
	w.allDirty()
	w.notify()
}

func (w *statusWriter) allDirty() {
	for name := range w.mine {
		w.dirty[name] = struct{}{}
	}
}

func (w *statusWriter) notify() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// serviceAddresses is where a Service is reached, by the rules of ingress-nginx.
func serviceAddresses(s *corev1.Service) []networkingv1.IngressLoadBalancerIngress {
	var all []networkingv1.IngressLoadBalancerIngress
	addIPs := func(ips ...string) {
		for _, ip := range ips {
			if ip != "" && ip != corev1.ClusterIPNone {
				all = append(all, networkingv1.IngressLoadBalancerIngress{IP: ip})
			}
		}
	}
	switch s.Spec.Type {
	case corev1.ServiceTypeExternalName:
		all = append(all, networkingv1.IngressLoadBalancerIngress{Hostname: s.Spec.ExternalName})
	case corev1.ServiceTypeLoadBalancer:
		for _, a := range s.Status.LoadBalancer.Ingress {
			all = append(all, networkingv1.IngressLoadBalancerIngress{IP: a.IP, Hostname: a.Hostname})
		}
		addIPs(s.Spec.ExternalIPs...)
	case corev1.ServiceTypeNodePort:
		if addIPs(s.Spec.ExternalIPs...); len(all) == 0 {
			addIPs(s.Spec.ClusterIP)
		}
	default:
		addIPs(s.Spec.ClusterIP)
	}
	return sorted(all)
}

// fixedAddresses are the addresses and names of the configuration.
func fixedAddresses(list []string) []networkingv1.IngressLoadBalancerIngress {
	var all []networkingv1.IngressLoadBalancerIngress
	for _, a := range list {
		if _, err := netip.ParseAddr(a); err == nil {
			all = append(all, networkingv1.IngressLoadBalancerIngress{IP: a})
		} else {
			all = append(all, networkingv1.IngressLoadBalancerIngress{Hostname: a})
		}
	}
	return sorted(all)
}

func sorted(all []networkingv1.IngressLoadBalancerIngress) []networkingv1.IngressLoadBalancerIngress {
	slices.SortFunc(all, compareAddresses)
	return slices.CompactFunc(all, func(a, b networkingv1.IngressLoadBalancerIngress) bool { return compareAddresses(a, b) == 0 })
}

func compareAddresses(a, b networkingv1.IngressLoadBalancerIngress) int {
	return cmp.Or(cmp.Compare(a.IP, b.IP), cmp.Compare(a.Hostname, b.Hostname))
}

// sameAddresses compares with an Ingress's addresses, which may be in any order.
func sameAddresses(have, want []networkingv1.IngressLoadBalancerIngress) bool {
	have = slices.SortedFunc(slices.Values(have), compareAddresses)
	return slices.EqualFunc(have, want, func(a, b networkingv1.IngressLoadBalancerIngress) bool {
		return compareAddresses(a, b) == 0 && len(a.Ports) == 0
	})
}
