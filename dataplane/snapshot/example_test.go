package snapshot_test

import (
	"fmt"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// A Spec is compiled, asked, and replaced by one that shares what did not change.
func ExampleCompile() {
	api := &snapshot.Route{Path: "/api", Kind: snapshot.Prefix, Pool: "shop/api:80"}
	shop := &snapshot.Host{Name: "shop.example.com", Routes: []*snapshot.Route{api}}
	pools := []*snapshot.Pool{{ID: "shop/api:80"}}

	bind := func(r *snapshot.Route) any {
		fmt.Println("bind", r.Path)
		return "the plan of " + r.Path
	}
	first, err := snapshot.Compile(nil, &snapshot.Spec{Hosts: []*snapshot.Host{shop}, Pools: pools}, bind)
	if err != nil {
		fmt.Println(err)
		return
	}

	all := &snapshot.Host{Routes: []*snapshot.Route{
		{Path: "/", Kind: snapshot.Prefix, Answer: &snapshot.Answer{Status: 503, Reason: "no_service"}},
	}}
	second, err := snapshot.Compile(first, &snapshot.Spec{Hosts: []*snapshot.Host{all, shop}, Pools: pools}, bind)
	if err != nil {
		fmt.Println(err)
		return
	}

	host := snapshot.NormalizeHost(nil, []byte("Shop.Example.com:443"))
	path, err := snapshot.NormalizePath(nil, []byte("/static/../api/%7Euser"))
	if err != nil {
		fmt.Println(err)
		return
	}
	m, ok := second.Match(host, path)
	fmt.Println(string(path), ok, m.Route.Pool, m.Plan)
	fmt.Print(second.Spec.Text())
	// Output:
	// bind /api
	// bind /
	// /api/~user true shop/api:80 the plan of /api
	// unknown-sni  reject
	// *  owner
	// *  Prefix /  -> 503 no_service
	// shop.example.com  owner
	// shop.example.com  Prefix /api  -> pool shop/api:80
	// pool shop/api:80
}
