package controllers

import (
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

func TestServiceAddresses(t *testing.T) {
	ip := func(s string) networkingv1.IngressLoadBalancerIngress {
		return networkingv1.IngressLoadBalancerIngress{IP: s}
	}
	name := func(s string) networkingv1.IngressLoadBalancerIngress {
		return networkingv1.IngressLoadBalancerIngress{Hostname: s}
	}
	status := func(all ...corev1.LoadBalancerIngress) corev1.ServiceStatus {
		return corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: all}}
	}
	for _, c := range []struct {
		name    string
		service corev1.Service
		want    []networkingv1.IngressLoadBalancerIngress
	}{
		{"load balancer with address", corev1.Service{
			Spec:   corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, ClusterIP: "10.0.0.1"},
			Status: status(corev1.LoadBalancerIngress{IP: "192.0.2.2"}, corev1.LoadBalancerIngress{IP: "192.0.2.1"}),
		}, []networkingv1.IngressLoadBalancerIngress{ip("192.0.2.1"), ip("192.0.2.2")}},
		{"load balancer with name and external address", corev1.Service{
			Spec:   corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, ExternalIPs: []string{"192.0.2.9"}},
			Status: status(corev1.LoadBalancerIngress{Hostname: "lb.example.com"}),
		}, []networkingv1.IngressLoadBalancerIngress{name("lb.example.com"), ip("192.0.2.9")}},
		{"load balancer without address yet", corev1.Service{
			Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, ClusterIP: "10.0.0.1"},
		}, nil},
		{"cluster IP", corev1.Service{
			Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, ClusterIP: "10.0.0.1"},
		}, []networkingv1.IngressLoadBalancerIngress{ip("10.0.0.1")}},
		{"headless", corev1.Service{
			Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, ClusterIP: corev1.ClusterIPNone},
		}, nil},
		{"node port", corev1.Service{
			Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, ClusterIP: "10.0.0.1"},
		}, []networkingv1.IngressLoadBalancerIngress{ip("10.0.0.1")}},
		{"node port with external address", corev1.Service{
			Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, ClusterIP: "10.0.0.1", ExternalIPs: []string{"192.0.2.9", "192.0.2.9"}},
		}, []networkingv1.IngressLoadBalancerIngress{ip("192.0.2.9")}},
		{"external name", corev1.Service{
			Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "edge.example.com"},
		}, []networkingv1.IngressLoadBalancerIngress{name("edge.example.com")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, serviceAddresses(&c.service)); diff != "" {
				t.Errorf("serviceAddresses (-want +got):\n%s", diff)
			}
		})
	}
	if diff := cmp.Diff([]networkingv1.IngressLoadBalancerIngress{name("edge.example.com"), ip("192.0.2.1"), ip("2001:db8::1")},
		fixedAddresses([]string{"2001:db8::1", "edge.example.com", "192.0.2.1"})); diff != "" {
		t.Errorf("fixedAddresses (-want +got):\n%s", diff)
	}
}

func TestStatusWriterKnowsWhatToWrite(t *testing.T) {
	lb := types.NamespacedName{Namespace: "cardea", Name: "lb"}
	w, err := newStatusWriter(Config{REST: &rest.Config{}, Logger: logr.Discard(), Status: StatusConfig{PublishService: lb}})
	if err != nil {
		t.Fatal(err)
	}
	service := func(ips ...string) *corev1.Service {
		s := &corev1.Service{Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer}}
		for _, ip := range ips {
			s.Status.LoadBalancer.Ingress = append(s.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: ip})
		}
		return s
	}
	want := func(when string, want ...string) {
		t.Helper()
		var got []string
		todo, _ := w.take()
		for _, in := range todo {
			got = append(got, in.Name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("to write %s (-want +got):\n%s", when, diff)
		}
	}
	in := shopIngressOf("web", "shop.example.com", "tls")
	web := types.NamespacedName{Namespace: "shop", Name: "web"}
	w.ingress(in)
	w.ingress(shopIngressOf("foreign", "other.example.com", "tls"))
	w.ours([]types.NamespacedName{web})
	w.service(lb, service("192.0.2.1"), false)
	want("by one who does not lead")
	w.lead(true)
	want("after winning", "web")

	written := in.DeepCopy()
	written.Status.LoadBalancer.Ingress = []networkingv1.IngressLoadBalancerIngress{{IP: "192.0.2.1"}}
	w.ingress(written)
	want("once it is written")
	w.service(types.NamespacedName{Namespace: "cardea", Name: "other"}, service("192.0.2.7"), false)
	w.service(lb, service(), false)
	w.service(lb, service("192.0.2.1"), true)
	want("when the Service loses its address or is gone")
	w.service(lb, service("192.0.2.2"), false)
	want("when the address changes", "web")
	w.ours(nil)
	w.lead(true)
	want("for no Ingress of ours")
	w.ours([]types.NamespacedName{web})
	want("when it becomes ours", "web")
	w.ours(nil)
	w.ours([]types.NamespacedName{web})
	w.gone(web)
	want("when it is gone")
}

func TestNodeAddresses(t *testing.T) {
	both := corev1.NodeStatus{Addresses: []corev1.NodeAddress{
		{Type: corev1.NodeHostName, Address: "node-1"},
		{Type: corev1.NodeInternalIP, Address: "10.0.0.1"},
		{Type: corev1.NodeExternalIP, Address: "192.0.2.1"},
		{Type: corev1.NodeInternalIP, Address: "fd00::1"},
		{Type: corev1.NodeExternalIP, Address: "2001:db8::1"},
	}}
	inside := corev1.NodeStatus{Addresses: both.Addresses[:2]}
	for _, c := range []struct {
		name   string
		status corev1.NodeStatus
		which  NodeAddresses
		want   []string
	}{
		{"external, both families", both, NodesExternal, []string{"192.0.2.1", "2001:db8::1"}},
		{"internal, both families", both, NodesInternal, []string{"10.0.0.1", "fd00::1"}},
		{"external of a node that has none", inside, NodesExternal, []string{"10.0.0.1"}},
		{"internal of a node that has no other", inside, NodesInternal, []string{"10.0.0.1"}},
		{"no address", corev1.NodeStatus{}, NodesExternal, nil},
	} {
		var got []string
		for _, a := range addressesOf(&corev1.Node{Status: c.status}, c.which) {
			got = append(got, a.IP)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: addresses (-want +got):\n%s", c.name, diff)
		}
	}
}
