//go:build envtest

package controllers

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/cardea-dev/cardea/controllers/translate"
	"github.com/cardea-dev/cardea/dataplane"
	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// user returns a user with the rights of files of config and no others.
func (p place) user(t *testing.T, name string, files ...string) *envtest.AuthenticatedUser {
	t.Helper()
	user, err := environment.AddUser(envtest.User{Name: name}, nil)
	if err != nil {
		t.Fatal(err)
	}
	subjects := []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: name}}
	for _, file := range files {
		text, err := os.ReadFile("../config/" + file)
		if err != nil {
			t.Fatal(err)
		}
		everywhere, own, _ := strings.Cut(string(text), "\n---\n")
		var cluster rbacv1.ClusterRole
		var role rbacv1.Role
		if err := yaml.UnmarshalStrict([]byte(everywhere), &cluster); err != nil {
			t.Fatal(err)
		}
		if err := yaml.UnmarshalStrict([]byte(own), &role); err != nil {
			t.Fatal(err)
		}
		cluster.Name = p.namespace + "-" + cluster.Name
		role.Namespace = p.namespace
		create(t, &cluster, &role,
			&rbacv1.ClusterRoleBinding{
				ObjectMeta: metav1.ObjectMeta{Name: cluster.Name}, Subjects: subjects,
				RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: cluster.Name},
			},
			&rbacv1.RoleBinding{
				ObjectMeta: p.meta(role.Name), Subjects: subjects,
				RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
			})
	}
	return user
}

// leaderOf returns who holds the Lease.
func (p place) leaderOf(t *testing.T) string {
	t.Helper()
	var lease coordinationv1.Lease
	if err := kube.Get(t.Context(), client.ObjectKey{Namespace: p.namespace, Name: "cardea-leader"}, &lease); err != nil || lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}

// addressesIn returns the addresses in the status of an Ingress.
func addressesIn(t *testing.T, o *networkingv1.Ingress) string {
	t.Helper()
	if err := kube.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, a := range o.Status.LoadBalancer.Ingress {
		all = append(all, a.IP+a.Hostname)
	}
	return strings.Join(all, " ")
}

// quick is a leader's configuration with short times.
func (p place) quick(identity string) LeaderConfig {
	return LeaderConfig{
		Namespace: p.namespace, Identity: identity,
		LeaseDuration: 3 * time.Second, RenewDeadline: 2 * time.Second, RetryPeriod: 200 * time.Millisecond,
	}
}

// served is a Publisher with a data plane behind it.
type served struct {
	*recorder
	data *dataplane.DataPlane
}

func (s served) Publish(u snapshot.Update) error {
	if err := s.data.Publish(u); err != nil {
		return err
	}
	return s.recorder.Publish(u)
}

// TestLeaderLosesItsLease takes the Lease away from the leader of two replicas, each
// with a data plane under load. Neither fails a handshake or leaves a change out;
// the other leads, and the first one stands again.
func TestLeaderLosesItsLease(t *testing.T) {
	p := newPlace(t)
	create(t, p.service("web"), p.slice("web", "192.0.2.1"), p.secret(t, "tls", "before", "shop.example.com"), p.ingress("shop", "shop.example.com", "tls"))
	var leading [2]atomic.Bool
	var replicas [2]*replica
	var failures, handshakes atomic.Int64
	serving, endServing := context.WithCancel(context.Background())
	loading, endLoad := context.WithCancel(context.Background())
	var load, running sync.WaitGroup
	defer running.Wait()
	defer endServing()
	defer load.Wait()
	defer endLoad()
	for i := range replicas {
		d, err := dataplane.New(dataplane.Config{HTTPSAddr: "127.0.0.1:0", Logger: slog.New(slog.NewTextHandler(testWriter{t}, nil))})
		if err != nil {
			t.Fatal(err)
		}
		running.Go(func() {
			if err := d.Run(serving); err != nil {
				t.Errorf("Run() = %v", err)
			}
		})
		replicas[i] = p.start(t, func(c *Config) {
			c.Publisher = served{c.Publisher.(*recorder), d}
			c.Events = p.events(t, fmt.Sprint("replica-", i))
			c.Leader = p.quick(fmt.Sprint("replica-", i))
			c.Status = StatusConfig{PublishAddresses: []string{"192.0.2.80"}}
			c.Metrics.Leader = func(is bool) { leading[i].Store(is) }
		})
		replicas[i].ready(t)
		load.Go(func() {
			for loading.Err() == nil {
				c, err := tls.Dial("tcp", d.Addr("https").String(), &tls.Config{ServerName: "shop.example.com", InsecureSkipVerify: true})
				handshakes.Add(1)
				if err != nil {
					failures.Add(1)
					t.Errorf("handshake with replica %d: %v", i, err)
					return
				}
				c.Close()
			}
		})
	}
	eventually(t, 10*time.Second, "one leader", func() bool { return leading[0].Load() != leading[1].Load() })
	first, second := 0, 1
	if leading[1].Load() {
		first, second = 1, 0
	}

	// Somebody else writes himself into the Lease, and leaves it to expire.
	steal := func() {
		t.Helper()
		var lease coordinationv1.Lease
		if err := kube.Get(t.Context(), client.ObjectKey{Namespace: p.namespace, Name: "cardea-leader"}, &lease); err != nil {
			t.Fatal(err)
		}
		patch := fmt.Sprintf(`{"spec":{"holderIdentity":"replica-%d","renewTime":%q}}`, second, time.Now().UTC().Format("2006-01-02T15:04:05.000000Z"))
		if err := kube.Patch(t.Context(), &lease, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
			t.Fatal(err)
		}
	}
	steal()
	eventually(t, 15*time.Second, "the other replica leads, and it alone", func() bool { return leading[second].Load() && !leading[first].Load() })
	update(t, p.secret(t, "tls", "after", "shop.example.com"))
	for i, r := range replicas {
		r.wait(t, 10*time.Second, "the change", func() bool { return r.certificate("shop.example.com") == "after" })
		if why := r.controller.NotReady(); why != "" {
			t.Errorf("replica %d: NotReady() = %q, want ready", i, why)
		}
	}
	// The one that lost stands again.
	replicas[second].stop()
	eventually(t, 15*time.Second, "the first leads again", func() bool { return leading[first].Load() && p.leaderOf(t) == fmt.Sprint("replica-", first) })
	endLoad()
	load.Wait()
	if n := handshakes.Load(); n < 20 || failures.Load() != 0 {
		t.Errorf("%d of %d handshakes failed, want none of at least 20", failures.Load(), n)
	}
	t.Logf("%d handshakes", handshakes.Load())
}

// TestStatusStaysWhenAllEnd holds that no replica, leader or not, and no Service
// without an address takes what was written away. The load balancer has a name.
func TestStatusStaysWhenAllEnd(t *testing.T) {
	p := newPlace(t)
	lb := p.service("lb")
	lb.Spec.Type = corev1.ServiceTypeLoadBalancer
	create(t, lb, p.service("web"))
	set := func(ingress ...corev1.LoadBalancerIngress) {
		t.Helper()
		if err := kube.Get(t.Context(), client.ObjectKeyFromObject(lb), lb); err != nil {
			t.Fatal(err)
		}
		lb.Status.LoadBalancer.Ingress = ingress
		if err := kube.Status().Update(t.Context(), lb); err != nil {
			t.Fatal(err)
		}
	}
	set(corev1.LoadBalancerIngress{Hostname: "lb.example.net"})
	in := p.ingress("shop", "shop.example.com", "")
	create(t, in)
	start := func(i int) *replica {
		r := p.start(t, func(c *Config) {
			c.Status = StatusConfig{PublishService: types.NamespacedName{Namespace: p.namespace, Name: "lb"}}
			c.Leader = p.quick(fmt.Sprint("replica-", i))
		})
		r.ready(t)
		return r
	}
	one, two := start(1), start(2)
	eventually(t, 10*time.Second, "the name in the status", func() bool { return addressesIn(t, in) == "lb.example.net" })
	set()
	// An Ingress that comes now shows that the change of the Service was seen: what is
	// written is what was known before.
	later := p.ingress("later", "later.example.com", "")
	create(t, later)
	eventually(t, 10*time.Second, "the name in the status of a later Ingress", func() bool { return addressesIn(t, later) == "lb.example.net" })
	one.stop()
	two.stop()
	for _, o := range []*networkingv1.Ingress{in, later} {
		if got := addressesIn(t, o); got != "lb.example.net" {
			t.Errorf("status of %s when all replicas have ended = %q, want it kept", o.Name, got)
		}
	}
	if got := p.leaderOf(t); got != "" {
		t.Errorf("the Lease is held by %q when all have ended, want it given up", got)
	}
}

// TestNodeAddressesInTheStatus publishes the nodes of the ready pods, with the rights
// of config/rbac/nodes.yaml besides those of role.yaml and no others.
func TestNodeAddressesInTheStatus(t *testing.T) {
	p := newPlace(t)
	user := p.user(t, "cardea-nodes-test", "rbac/role.yaml", "rbac/nodes.yaml")
	node := func(name string, addresses ...corev1.NodeAddress) {
		t.Helper()
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
		create(t, n)
		t.Cleanup(func() { _ = kube.Delete(context.Background(), n) })
		n.Status.Addresses = addresses
		if err := kube.Status().Update(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	node("a", corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: "10.0.0.1"}, corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: "192.0.2.1"})
	node("b", corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: "10.0.0.2"}, corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: "192.0.2.2"})
	pod := func(name, node, hash string) *corev1.Pod {
		t.Helper()
		o := &corev1.Pod{ObjectMeta: p.meta(name), Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "cardea", Image: "cardea"}}}}
		o.Labels = map[string]string{"app.kubernetes.io/name": "cardea", "pod-template-hash": hash}
		create(t, o)
		return o
	}
	ready := func(o *corev1.Pod, is corev1.ConditionStatus) {
		t.Helper()
		o.Status.Phase = corev1.PodRunning
		o.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: is}}
		if err := kube.Status().Update(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	// Another workload's pod, and one of ours that is not ready.
	foreign := &corev1.Pod{ObjectMeta: p.meta("foreign"), Spec: corev1.PodSpec{NodeName: "b", Containers: []corev1.Container{{Name: "x", Image: "x"}}}}
	foreign.Labels = map[string]string{"app.kubernetes.io/name": "other"}
	create(t, foreign)
	ready(foreign, corev1.ConditionTrue)
	one, two := pod("cardea-1", "a", "old"), pod("cardea-2", "b", "new")
	ready(one, corev1.ConditionTrue)
	ready(two, corev1.ConditionFalse)

	in := p.ingress("shop", "shop.example.com", "")
	create(t, p.service("web"), in)
	r := p.start(t, func(c *Config) {
		c.REST = user.Config()
		c.Status = StatusConfig{PublishNodes: NodesExternal, nodesPause: 50 * time.Millisecond}
		c.Leader = p.quick("cardea-1")
	})
	r.ready(t)
	eventually(t, 10*time.Second, "the node of the ready pod", func() bool { return addressesIn(t, in) == "192.0.2.1" })
	ready(two, corev1.ConditionTrue)
	eventually(t, 10*time.Second, "both nodes", func() bool { return addressesIn(t, in) == "192.0.2.1 192.0.2.2" })
	ready(one, corev1.ConditionFalse)
	eventually(t, 10*time.Second, "the other node", func() bool { return addressesIn(t, in) == "192.0.2.2" })

	// With no ready pod left the last address stays.
	ready(two, corev1.ConditionFalse)
	later := p.ingress("later", "later.example.com", "")
	create(t, later)
	eventually(t, 10*time.Second, "the last address", func() bool { return addressesIn(t, later) == "192.0.2.2" })
	r.stop()
	if got := addressesIn(t, in); got != "192.0.2.2" {
		t.Errorf("status after the end = %q, want it kept", got)
	}
}

// TestExpiryIsToldOnce holds that of two replicas the leader alone tells of a
// certificate that ends, and that the next one tells it, too.
func TestExpiryIsToldOnce(t *testing.T) {
	withinWindow(t)
	p := newPlace(t)
	create(t, p.service("web"), p.ending(t, "tls", "shop.example.com", time.Hour), p.ingress("shop", "shop.example.com", "tls"))
	in := p.ingress("shop", "shop.example.com", "tls")
	if err := kube.Get(t.Context(), client.ObjectKeyFromObject(in), in); err != nil {
		t.Fatal(err)
	}
	var replicas [2]*replica
	var writes [2]tap
	for i := range replicas {
		e, err := NewEvents(EventsConfig{REST: writes[i].wrap(cluster), Controller: p.controllerName, Instance: fmt.Sprint("replica-", i)})
		if err != nil {
			t.Fatal(err)
		}
		replicas[i] = p.start(t, func(c *Config) {
			c.Events = e
			c.Leader = p.quick(fmt.Sprint("replica-", i))
		})
		replicas[i].ready(t)
	}
	events := func() (all []corev1.Event) {
		for _, e := range eventsOf(t, in) {
			if e.Reason == string(translate.CertificateExpiring) {
				all = append(all, e)
			}
		}
		return all
	}
	eventually(t, 10*time.Second, "an Event", func() bool { return len(events()) == 1 })
	leader := p.leaderOf(t)
	if e := events()[0]; e.Count != 1 || e.ReportingInstance != leader {
		t.Errorf("Event by %s with count %d, want one by the leader %s", e.ReportingInstance, e.Count, leader)
	}
	// Handshakes are told by every replica: the one that does not lead is alive.
	follower := replicas[0]
	instance := 0
	if leader == "replica-0" {
		follower, instance = replicas[1], 1
	}
	origin := snapshot.Origin{Kind: "Ingress", Namespace: in.Namespace, Name: in.Name, UID: string(in.UID)}
	follower.controller.cfg.Events.Sink().Handshake(&outcome.Handshake{Result: outcome.Failed, Reason: outcome.Version, Host: "shop.example.com", Ingress: origin})
	eventually(t, 10*time.Second, "an Event about a handshake of the replica that does not lead", func() bool {
		for _, e := range eventsOf(t, in) {
			if e.Reason == string(outcome.Version) {
				return e.ReportingInstance == fmt.Sprint("replica-", instance)
			}
		}
		return false
	})
	if all := events(); len(all) != 1 || all[0].Count != 1 {
		t.Errorf("Events = %+v, want still one with count 1", all)
	}
}
