// Package filter holds the built-in filters, one file each. A filter is a
// constructor that returns a [proxy.Filter]; whoever builds a proxy lists the
// filters it wants, and none registers itself.
package filter

import (
	"strconv"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/proxy"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// RedirectHTTPS answers plain HTTP requests of routes whose policy says so with
// 308 and the same URL under https. externalPort is the port on which clients
// reach the HTTPS listener; 0 means 443.
//
// The paths of ACME HTTP-01 challenges that have a route of their own are exempt:
// RFC 8555 §8.3 has the validation begin on port 80, and before there is a first
// certificate there is nothing to redirect to.
func RedirectHTTPS(externalPort int) proxy.Filter {
	r := redirectHTTPS{}
	if externalPort != 0 && externalPort != 443 {
		r.port = ":" + strconv.Itoa(externalPort)
	}
	return func(policy snapshot.Policy) proxy.Hooks {
		if !policy.RedirectHTTPS || policy.ACME {
			return proxy.Hooks{}
		}
		return proxy.Hooks{Request: r.request}
	}
}

type redirectHTTPS struct{ port string }

func (r redirectHTTPS) request(x *proxy.Exchange) (bool, *outcome.Error) {
	if x.Secure() {
		return false, nil
	}
	if len(x.Host()) == 0 {
		// HTTP/1.0 without Host: there is no name to go to.
		return false, &outcome.Error{Side: outcome.Downstream, Reason: outcome.BadRequest, Detail: "https needs a host name"}
	}
	location := make([]byte, 0, 256)
	location = append(location, "https://"...)
	location = append(location, x.Host()...)
	location = append(location, r.port...)
	location = append(location, x.Path()...)
	if in := x.Request(); in.HasQuery {
		location = append(location, '?')
		location = append(location, in.Query...)
	}
	return true, x.Answer(308, "", "Location", string(location))
}
