package filter

import (
	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/proxy"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// HSTS tells clients that come over TLS to use nothing else for the host from now
// on: every final answer on a route whose policy has a value for it carries the
// field Strict-Transport-Security (RFC 6797), a redirect and a failure of our own
// too. It takes the place of what the backend sends in that field, as in
// ingress-nginx: RFC 6797 §8.1 has the client look at the first alone.
//
// On plain HTTP nothing is sent: RFC 6797 §7.2, "An HSTS Host MUST NOT include the
// STS header field in HTTP responses conveyed over non-secure transport." What a
// backend sends there is passed on; clients ignore it.
func HSTS(policy snapshot.Policy) proxy.Hooks {
	if policy.HSTS == "" {
		return proxy.Hooks{}
	}
	name, value := []byte(hstsName), []byte(policy.HSTS)
	return proxy.Hooks{Head: func(x *proxy.Exchange, res *message.Response) {
		if x.Conn().TLS == nil {
			return
		}
		res.Fields.Filter(isNotHSTS)
		res.Fields.Append(message.Other, name, value)
	}}
}

const hstsName = "Strict-Transport-Security"

func isNotHSTS(f *message.Field) bool {
	return f.ID != message.Other || !message.EqualFold(f.Name, hstsName)
}
