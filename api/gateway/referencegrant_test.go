package gateway

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestAllows(t *testing.T) {
	ingress := ReferenceGrantFrom{"networking.k8s.io", "Ingress", "shop"}
	secret := ReferenceGrantTo{"", "Secret", nil}
	named := ReferenceGrantTo{"", "Secret", new("ca")}
	for _, c := range []struct {
		name string
		from []ReferenceGrantFrom
		to   []ReferenceGrantTo
		want bool
	}{
		{"all Secrets", []ReferenceGrantFrom{ingress}, []ReferenceGrantTo{secret}, true},
		{"this one", []ReferenceGrantFrom{ingress}, []ReferenceGrantTo{{"", "ConfigMap", nil}, named}, true},
		{"an empty name is all", []ReferenceGrantFrom{ingress}, []ReferenceGrantTo{{"", "Secret", new("")}}, true},
		{"the second of those who may", []ReferenceGrantFrom{{"networking.k8s.io", "Ingress", "web"}, ingress}, []ReferenceGrantTo{secret}, true},
		{"another Secret", []ReferenceGrantFrom{ingress}, []ReferenceGrantTo{{"", "Secret", new("other")}}, false},
		{"another kind", []ReferenceGrantFrom{ingress}, []ReferenceGrantTo{{"", "Service", nil}}, false},
		{"another group", []ReferenceGrantFrom{ingress}, []ReferenceGrantTo{{"example.com", "Secret", nil}}, false},
		{"another namespace", []ReferenceGrantFrom{{"networking.k8s.io", "Ingress", "web"}}, []ReferenceGrantTo{secret}, false},
		{"Gateways", []ReferenceGrantFrom{{"gateway.networking.k8s.io", "Gateway", "shop"}}, []ReferenceGrantTo{secret}, false},
		{"Ingresses of old", []ReferenceGrantFrom{{"extensions", "Ingress", "shop"}}, []ReferenceGrantTo{secret}, false},
		{"nobody", nil, []ReferenceGrantTo{secret}, false},
		{"nothing", []ReferenceGrantFrom{ingress}, nil, false},
	} {
		g := &ReferenceGrant{Spec: ReferenceGrantSpec{c.from, c.to}}
		if got := g.Allows("shop", "Secret", "ca"); got != c.want {
			t.Errorf("%s: Allows(shop, Secret, ca) = %v, want %v", c.name, got, c.want)
		}
	}
}

func TestAllowsOneKind(t *testing.T) {
	g := &ReferenceGrant{Spec: ReferenceGrantSpec{
		[]ReferenceGrantFrom{{"networking.k8s.io", "Ingress", "shop"}},
		[]ReferenceGrantTo{{"", "ConfigMap", new("ca")}, {"", "Secret", new("tls")}},
	}}
	for _, c := range []struct {
		kind, name string
		want       bool
	}{
		{"ConfigMap", "ca", true},
		{"ConfigMap", "tls", false},
		{"Secret", "ca", false},
		{"Secret", "tls", true},
	} {
		if got := g.Allows("shop", c.kind, c.name); got != c.want {
			t.Errorf("Allows(shop, %s, %s) = %v, want %v", c.kind, c.name, got, c.want)
		}
	}
}

func TestDeepCopyShares(t *testing.T) {
	g := &ReferenceGrant{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b"}},
		Spec:       ReferenceGrantSpec{[]ReferenceGrantFrom{{Namespace: "shop"}}, []ReferenceGrantTo{{Name: new("ca")}}},
	}
	list := &ReferenceGrantList{Items: []ReferenceGrant{*g}}
	for _, c := range []*ReferenceGrant{g.DeepCopyObject().(*ReferenceGrant), &list.DeepCopyObject().(*ReferenceGrantList).Items[0]} {
		c.Labels["a"], c.Spec.From[0].Namespace, *c.Spec.To[0].Name = "x", "x", "x"
		if g.Labels["a"] != "b" || g.Spec.From[0].Namespace != "shop" || *g.Spec.To[0].Name != "ca" {
			t.Fatalf("a copy shares what it is made of: %+v", g)
		}
	}
}
