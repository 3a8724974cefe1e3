//go:build envtest

package controllers

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
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

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

func TestApplyIsPublishedWithinASecond(t *testing.T) {
	p := newPlace(t)
	r := p.start(t, nil)
	r.ready(t)

	create(t, p.service("web"), p.slice("web", "192.0.2.1"))
	in := p.ingress("shop", "shop.example.com", "tls")
	began := time.Now()
	create(t, p.secret(t, "tls", "first", "shop.example.com"), in)
	r.wait(t, time.Second, "host, certificate and endpoint", func() bool {
		h := r.host("shop.example.com")
		return r.certificate("shop.example.com") == "first" && len(h.Routes) == 1 && len(r.endpoints[h.Routes[0].Pool]) == 1
	})
	t.Logf("published %v after the first of two creates", time.Since(began))

	// A change of endpoints is published without a table.
	before := r.publishes()
	slice := p.slice("web", "192.0.2.1", "192.0.2.2")
	update(t, slice)
	r.wait(t, time.Second, "two endpoints", func() bool {
		return len(r.endpoints[r.host("shop.example.com").Routes[0].Pool]) == 2
	})
	r.mu.Lock()
	for _, u := range r.updates[before:] {
		if u.Spec != nil {
			t.Error("a change of endpoints replaced the table")
		}
		if u.Since.IsZero() {
			t.Error("an update does not say since when its change is known")
		}
	}
	r.mu.Unlock()

	// A new certificate is seen at once, one after the other.
	for i := range 10 {
		cn := fmt.Sprint("rotated-", i)
		secret := p.secret(t, "tls", cn, "shop.example.com")
		began := time.Now()
		update(t, secret)
		r.wait(t, time.Second, cn, func() bool { return r.certificate("shop.example.com") == cn })
		t.Logf("%s published %v after the write began", cn, time.Since(began))
	}

	if err := kube.Delete(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	r.wait(t, time.Second, "host gone", func() bool { return r.host("shop.example.com") == nil })
}

func TestBadSecretKeepsTheLastGood(t *testing.T) {
	p := newPlace(t)
	r := p.start(t, func(c *Config) { c.Events = p.events(t, "one") })
	r.ready(t)
	in, secret := p.ingress("shop", "shop.example.com", "tls"), p.secret(t, "tls", "good", "shop.example.com")
	create(t, p.service("web"), secret, in)
	r.wait(t, time.Second, "certificate", func() bool { return r.certificate("shop.example.com") == "good" })

	garbage := secret.DeepCopy()
	garbage.Data = map[string][]byte{corev1.TLSCertKey: []byte("garbage"), corev1.TLSPrivateKeyKey: []byte("garbage")}
	update(t, garbage)
	for _, o := range []client.Object{in, secret} {
		eventually(t, 3*time.Second, "Warning Event on "+o.GetName(), func() bool {
			for _, e := range eventsOf(t, o) {
				if e.Type == corev1.EventTypeWarning && e.Reason == "SecretInvalid" {
					return true
				}
			}
			return false
		})
	}
	r.wait(t, time.Second, "last good", func() bool { return r.certificate("shop.example.com") == "good" })

	repaired := p.secret(t, "tls", "repaired", "shop.example.com")
	update(t, repaired)
	r.wait(t, time.Second, "repaired", func() bool { return r.certificate("shop.example.com") == "repaired" })

	// A deleted Secret is served on by default.
	if err := kube.Delete(t.Context(), repaired); err != nil {
		t.Fatal(err)
	}
	eventually(t, 3*time.Second, "Event about the missing Secret", func() bool {
		for _, e := range eventsOf(t, in) {
			if e.Reason == "SecretNotFound" {
				return true
			}
		}
		return false
	})
	r.wait(t, time.Second, "last good", func() bool { return r.certificate("shop.example.com") == "repaired" })
}

func TestManyChangesCoalesce(t *testing.T) {
	p := newPlace(t)
	create(t, p.service("web"), p.slice("web", "192.0.2.1"))
	r := p.start(t, nil)
	r.ready(t)
	before, began := r.publishes(), time.Now()
	const n = 1000
	failed := make(chan error, 8)
	for w := range 8 {
		go func() {
			for i := w; i < n; i += 8 {
				if err := kube.Create(t.Context(), p.ingress(fmt.Sprint("in-", i), fmt.Sprintf("h%d.example.com", i), "")); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	for range 8 {
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
	r.wait(t, 5*time.Second, "all hosts", func() bool { return r.spec != nil && len(r.spec.Hosts) == n })
	took, published := time.Since(began), r.publishes()-before
	t.Logf("%d changes in %v: %d publishes", n, took, published)
	if most := int(took/(50*time.Millisecond)) + 2; published > most {
		t.Errorf("%d publishes in %v, want at most %d", published, took, most)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := before + 1; i < len(r.at); i++ {
		if pause := r.at[i].Sub(r.at[i-1]); pause < 45*time.Millisecond {
			t.Errorf("publish %d comes %v after the one before, want 50ms", i, pause)
		}
	}
}

func TestOnlyReferencedSecretsAreRead(t *testing.T) {
	p := newPlace(t)
	create(t, p.service("web"),
		p.secret(t, "named", "named", "a.example.com"),
		p.secret(t, "foreign", "foreign", "b.example.com"),
		p.secret(t, "unnamed", "unnamed", "c.example.com"),
		p.ingress("a", "a.example.com", "named"))
	foreign := p.ingress("b", "b.example.com", "foreign")
	foreign.Spec.IngressClassName = new("somebody-else")
	create(t, foreign)

	var counted tap
	r := p.start(t, func(c *Config) { c.REST = counted.wrap(cluster) })
	r.ready(t)
	r.wait(t, time.Second, "certificate", func() bool { return r.certificate("a.example.com") == "named" })
	update(t, p.secret(t, "unnamed", "again", "c.example.com"))
	update(t, p.secret(t, "foreign", "again", "b.example.com"))
	update(t, p.secret(t, "named", "again", "a.example.com"))
	r.wait(t, time.Second, "rotated", func() bool { return r.certificate("a.example.com") == "again" })

	for name, want := range map[string]int{"named": 2, "foreign": 0, "unnamed": 0} {
		path := "GET /api/v1/namespaces/" + p.namespace + "/secrets/" + name
		if got := counted.count(func(r string) bool { return r == path }); got != want {
			t.Errorf("Secret %s was read %d times, want %d", name, got, want)
		}
	}
	if h := r.host("b.example.com"); h != nil {
		t.Errorf("the host of a foreign class is served: %+v", h)
	}

	// Many referenced Secrets are listed, once, instead.
	before := counted.count(func(r string) bool { return strings.Contains(r, "/secrets/") })
	for i := range 300 {
		create(t, p.secret(t, fmt.Sprint("many-", i), fmt.Sprint("cn-", i), fmt.Sprintf("m%d.example.com", i)),
			p.ingress(fmt.Sprint("m-", i), fmt.Sprintf("m%d.example.com", i), fmt.Sprint("many-", i)))
	}
	r.wait(t, 10*time.Second, "all certificates", func() bool {
		for i := range 300 {
			if r.certificate(fmt.Sprintf("m%d.example.com", i)) != fmt.Sprint("cn-", i) {
				return false
			}
		}
		return true
	})
	t.Logf("%d GETs for 300 more", counted.count(func(r string) bool { return strings.Contains(r, "/secrets/") })-before)
	r.stop()

	again := p.start(t, func(c *Config) { c.REST = counted.wrap(cluster) })
	again.ready(t)
	if got := again.certificate("m299.example.com"); got != "cn-299" {
		t.Errorf("certificate after the first fill = %q, want cn-299", got)
	}
	gets := counted.count(func(r string) bool {
		return strings.HasPrefix(r, "GET /api/v1/namespaces/") && strings.Contains(r, "/secrets/")
	})
	if gets != 0 {
		t.Errorf("the first fill made %d GETs, want a listing", gets)
	}
}

func TestTwoReplicas(t *testing.T) {
	withinWindow(t)
	p := newPlace(t)
	lb := p.service("lb")
	lb.Spec.Type = corev1.ServiceTypeLoadBalancer
	create(t, lb, p.service("web"))
	lb.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "192.0.2.80"}}
	if err := kube.Status().Update(t.Context(), lb); err != nil {
		t.Fatal(err)
	}
	in := p.ingress("shop", "shop.example.com", "missing")
	foreign := p.ingress("other", "other.example.com", "")
	foreign.Spec.IngressClassName = new("somebody-else")
	create(t, in, foreign)

	var taps [2]tap
	var events [2]*Events
	var replicas [2]*replica
	for i := range replicas {
		events[i] = p.events(t, fmt.Sprint("replica-", i))
		replicas[i] = p.start(t, func(c *Config) {
			c.REST = taps[i].wrap(cluster)
			c.Events = events[i]
			c.Status = StatusConfig{PublishService: types.NamespacedName{Namespace: p.namespace, Name: "lb"}}
			c.Leader = LeaderConfig{
				Namespace:     p.namespace,
				Identity:      fmt.Sprint("replica-", i),
				LeaseDuration: 3 * time.Second, RenewDeadline: 2 * time.Second, RetryPeriod: 200 * time.Millisecond,
			}
		})
	}
	for _, r := range replicas {
		r.ready(t)
	}
	address := func(o *networkingv1.Ingress) string {
		if err := kube.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
			t.Fatal(err)
		}
		if len(o.Status.LoadBalancer.Ingress) == 0 {
			return ""
		}
		return o.Status.LoadBalancer.Ingress[0].IP
	}
	eventually(t, 5*time.Second, "address in the status", func() bool { return address(in) == "192.0.2.80" })
	if got := address(foreign); got != "" {
		t.Errorf("the status of a foreign Ingress was written: %q", got)
	}
	patches := func(i int) int {
		return taps[i].count(func(r string) bool { return strings.HasPrefix(r, "PATCH ") && strings.HasSuffix(r, "/status") })
	}
	if a, b := patches(0), patches(1); a+b != 1 {
		t.Errorf("status was written %d and %d times, want once in all", a, b)
	}

	// Handshakes seen by both replicas are counted in one Event.
	cert, key := certificate(t, "shop.example.com", "shop.example.com")
	c, err := snapshot.ParseCertificate(snapshot.Origin{Kind: "Secret", Namespace: p.namespace, Name: "tls"}, cert, key)
	if err != nil {
		t.Fatal(err)
	}
	origin := snapshot.Origin{Kind: "Ingress", Namespace: in.Namespace, Name: in.Name, UID: string(in.UID), Field: "spec.tls[0]"}
	for i := range 12 {
		events[i%2].Sink().Handshake(&outcome.Handshake{
			Conn:   &outcome.Conn{Remote: netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), 1234)},
			Result: outcome.Failed, Reason: outcome.AlertUnknownCA, SNI: "shop.example.com", Host: "shop.example.com",
			Ingress: origin, Certificate: c, Version: tls.VersionTLS13,
		})
	}
	reasons := func() map[string][]corev1.Event {
		all := make(map[string][]corev1.Event)
		for _, e := range eventsOf(t, in) {
			all[e.Reason] = append(all[e.Reason], e)
		}
		return all
	}
	eventually(t, 3*time.Second, "an Event that counts 12", func() bool {
		of := reasons()[string(outcome.AlertUnknownCA)]
		return len(of) == 1 && of[0].Count == 12
	})
	e := reasons()[string(outcome.AlertUnknownCA)][0]
	t.Logf("%s %s %s x%d", e.Type, e.Reason, e.Message, e.Count)
	for _, want := range []string{"shop.example.com", "unknown authority", "self-signed", "Secret " + p.namespace + "/tls", "12 handshakes from 203.0.113.0/24 in 10m", "Use a certificate that"} {
		if !strings.Contains(e.Message, want) {
			t.Errorf("message %q does not contain %q", e.Message, want)
		}
	}
	if of := reasons()["SecretNotFound"]; len(of) != 1 || of[0].Count != 1 {
		t.Errorf("Events about the missing Secret: %d, want one with count 1", len(of))
	}

	// The other replica takes over, and nothing is taken back.
	leader := func() string {
		var lease coordinationv1.Lease
		if err := kube.Get(t.Context(), client.ObjectKey{Namespace: p.namespace, Name: "cardea-leader"}, &lease); err != nil || lease.Spec.HolderIdentity == nil {
			return ""
		}
		return *lease.Spec.HolderIdentity
	}
	first := leader()
	i := 0
	if first == "replica-1" {
		i = 1
	}
	replicas[i].stop()
	if got := address(in); got != "192.0.2.80" {
		t.Errorf("address after the leader ended = %q, want it kept", got)
	}
	lb.Status.LoadBalancer.Ingress[0].IP = "192.0.2.81"
	if err := kube.Status().Update(t.Context(), lb); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "address written by the new leader", func() bool { return address(in) == "192.0.2.81" })
	if now := leader(); now == first {
		t.Errorf("leader = %q, want the other replica", now)
	}
}

func TestForbiddenSecretIsToldAndHurtsNobodyElse(t *testing.T) {
	p := newPlace(t)
	in := p.ingress("secret", "secret.example.com", "forbidden")
	create(t, p.service("web"),
		p.secret(t, "forbidden", "forbidden", "secret.example.com"), in,
		p.secret(t, "open", "open", "open.example.com"), p.ingress("open", "open.example.com", "open"))
	r := p.start(t, func(c *Config) {
		c.REST = forbid(cluster, "/secrets/forbidden")
		c.Events = p.events(t, "one")
	})
	r.ready(t)
	if got := r.certificate("open.example.com"); got != "open" {
		t.Errorf("certificate of the other host = %q, want open", got)
	}
	if got := r.certificate("secret.example.com"); got != "" {
		t.Errorf("certificate of the host whose Secret is forbidden = %q, want none", got)
	}
	eventually(t, 3*time.Second, "Event SecretUnreadable", func() bool {
		for _, e := range eventsOf(t, in) {
			if e.Reason == "SecretUnreadable" && strings.Contains(e.Message, "forbids") {
				return true
			}
		}
		return false
	})
}

func TestOneNamespaceAndThePublishService(t *testing.T) {
	p := newPlace(t)
	other := place{p.namespace + "-other", p.class, p.controllerName}
	create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: other.namespace}})
	lb := other.service("lb")
	create(t, lb, p.service("web"), p.secret(t, "tls", "mine", "mine.example.com"))
	in := p.ingress("mine", "mine.example.com", "tls")
	create(t, in, other.ingress("theirs", "theirs.example.com", ""))
	r := p.start(t, func(c *Config) {
		c.WatchNamespace = p.namespace
		c.Status = StatusConfig{PublishService: types.NamespacedName{Namespace: other.namespace, Name: "lb"}}
		c.Leader = LeaderConfig{Namespace: p.namespace, Identity: "one"}
	})
	r.ready(t)
	if got := r.certificate("mine.example.com"); got != "mine" {
		t.Errorf("certificate = %q, want mine", got)
	}
	if r.host("theirs.example.com") != nil {
		t.Error("the Ingress of another namespace is served")
	}
	eventually(t, 5*time.Second, "ClusterIP in the status", func() bool {
		if err := kube.Get(t.Context(), client.ObjectKeyFromObject(in), in); err != nil {
			t.Fatal(err)
		}
		return len(in.Status.LoadBalancer.Ingress) == 1 && in.Status.LoadBalancer.Ingress[0].IP == lb.Spec.ClusterIP
	})
}

// TestRoleIsEnough runs a controller with the rights of config/rbac and nothing
// else.
func TestRoleIsEnough(t *testing.T) {
	withinWindow(t)
	p := newPlace(t)
	user, err := environment.AddUser(envtest.User{Name: "cardea-role-test"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../config/rbac/role.yaml")
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(text), "\n---\n")
	if len(parts) != 2 {
		t.Fatalf("role.yaml has %d documents, want 2", len(parts))
	}
	var everywhere rbacv1.ClusterRole
	var own rbacv1.Role
	for i, o := range []client.Object{&everywhere, &own} {
		if err := yaml.UnmarshalStrict([]byte(parts[i]), o); err != nil {
			t.Fatal(err)
		}
	}
	own.Namespace = p.namespace
	subjects := []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "cardea-role-test"}}
	create(t, &everywhere, &own,
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: everywhere.Name}, Subjects: subjects,
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: everywhere.Name},
		},
		&rbacv1.RoleBinding{
			ObjectMeta: p.meta(own.Name), Subjects: subjects,
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: own.Name},
		})
	// What docs/configmap.md tells to add.
	config := &rbacv1.Role{ObjectMeta: p.meta("nginx"), Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{"nginx"}, Verbs: []string{"list", "watch"},
	}}}
	create(t, config, &rbacv1.RoleBinding{
		ObjectMeta: p.meta(config.Name), Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: config.Name},
	})
	in, bad := p.ingress("shop", "shop.example.com", "tls"), p.ingress("bad", "bad.example.com", "missing")
	create(t, p.service("web"), p.secret(t, "tls", "named", "shop.example.com"), in, bad)

	var tapped tap
	rest := tapped.wrap(user.Config())
	events, err := NewEvents(EventsConfig{REST: rest, Instance: "one"})
	if err != nil {
		t.Fatal(err)
	}
	r := p.start(t, func(c *Config) {
		c.REST, c.Events = rest, events
		c.Status = StatusConfig{PublishAddresses: []string{"192.0.2.1"}}
		c.Translate.ConfigMap = types.NamespacedName{Namespace: p.namespace, Name: "nginx"}
		c.Leader = LeaderConfig{Namespace: p.namespace, Identity: "one", RetryPeriod: 100 * time.Millisecond}
		c.Tickets = TicketsConfig{Secret: "cardea-session-tickets", Rotation: time.Second, interval: 100 * time.Millisecond}
	})
	r.ready(t)
	r.wait(t, 20*time.Second, "ticket keys and their rotation", func() bool {
		return slices.ContainsFunc(r.updates, func(u snapshot.Update) bool { return u.Keys != nil && len(u.Keys.Others) == 2 })
	})
	if got := r.certificate("shop.example.com"); got != "named" {
		t.Errorf("certificate = %q, want named", got)
	}
	sink := events.Sink()
	origin := snapshot.Origin{Kind: "Ingress", Namespace: in.Namespace, Name: in.Name, UID: string(in.UID)}
	seen := func(want int32) func() bool {
		return func() bool {
			for _, e := range eventsOf(t, in) {
				if e.Reason == string(outcome.Version) && e.Count == want {
					return true
				}
			}
			return false
		}
	}
	sink.Handshake(&outcome.Handshake{Result: outcome.Failed, Reason: outcome.Version, Host: "shop.example.com", Ingress: origin})
	eventually(t, 3*time.Second, "Event", seen(1))
	// Another replica finds the Event and adds to it.
	second, err := NewEvents(EventsConfig{REST: rest, Instance: "two"})
	if err != nil {
		t.Fatal(err)
	}
	p.start(t, func(c *Config) { c.REST, c.Events = rest, second })
	second.Sink().Handshake(&outcome.Handshake{Result: outcome.Failed, Reason: outcome.Version, Host: "shop.example.com", Ingress: origin})
	eventually(t, 3*time.Second, "Event of two replicas", seen(2))
	eventually(t, 5*time.Second, "status", func() bool {
		if err := kube.Get(t.Context(), client.ObjectKeyFromObject(in), in); err != nil {
			t.Fatal(err)
		}
		return len(in.Status.LoadBalancer.Ingress) == 1
	})
	r.stop()
	tapped.mu.Lock()
	defer tapped.mu.Unlock()
	if len(tapped.forbidden) > 0 {
		t.Errorf("forbidden: %q", tapped.forbidden)
	}
}

// TestTicketKeysAreShared is that two replicas have the same secrets of
// session tickets from one Secret, and follow its rotation by the leader.
func TestTicketKeysAreShared(t *testing.T) {
	p := newPlace(t)
	keys := func(r *replica) *snapshot.TicketKeys {
		var last *snapshot.TicketKeys
		for _, u := range r.updates {
			if u.Keys != nil {
				last = u.Keys
			}
		}
		return last
	}
	var replicas []*replica
	for i := range 2 {
		replicas = append(replicas, p.start(t, func(c *Config) {
			c.Leader = LeaderConfig{Namespace: p.namespace, Identity: fmt.Sprint("replica-", i), RetryPeriod: 200 * time.Millisecond}
			c.Tickets = TicketsConfig{Secret: "tickets", Rotation: 2 * time.Second, interval: 100 * time.Millisecond}
		}))
	}
	var first *snapshot.TicketKeys
	replicas[0].wait(t, 20*time.Second, "keys", func() bool { first = keys(replicas[0]); return first != nil })
	for _, r := range replicas {
		r.wait(t, 20*time.Second, "a rotation", func() bool {
			k := keys(r)
			return k != nil && !k.Current.Equal(first.Current) && len(k.Others) == 2
		})
	}
	var s corev1.Secret
	if err := kube.Get(t.Context(), client.ObjectKey{Namespace: p.namespace, Name: "tickets"}, &s); err != nil {
		t.Fatal(err)
	}
	if s.Type != ticketsType || len(s.Data[ticketNext]) != 32 {
		t.Errorf("Secret of type %q with %d bytes in next, want %q and 32", s.Type, len(s.Data[ticketNext]), ticketsType)
	}
}
