package translate

import (
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/cardea-dev/cardea/api/v1alpha1"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// keep applies what protects in parameters that are refused as a whole, which must
// not open what they close: who may connect, how often, and who is believed on
// behalf of whom. A network that cannot be read is nobody who is believed. Of who
// may not connect nothing can be left out: then all paths are closed, and
// hosts that are passed through.
//
// Parameters that do not exist, nil, say nothing. It is not remembered what they
// said: a replica that begins later could not know it, and would serve differently.
func (o *overlay) keep(p *v1alpha1.IngressClassParameters, errs field.ErrorList) {
	if p == nil {
		return
	}
	spec := &p.Spec
	if spec.TLS.UnknownSNI == v1alpha1.UnknownSNIReject {
		o.unknownSNI, o.process.RejectUnknownSNI = snapshot.UnknownSNIReject, true
	}
	if len(spec.TrustedCIDRs) > 0 {
		o.trusted = prefixes(spec.TrustedCIDRs)
	}
	if i := slices.IndexFunc(errs, unreadable); i >= 0 {
		o.closed, o.locked = true, true
		at := parametersOrigin(p)
		at.Field = errs[i].Field
		o.judge(Verdict{Level: Refused, Reason: ParametersClosed, Origin: at},
			"The parameters say who may connect in a way that cannot be read, so the paths of all Ingresses answer 503, and no connection is passed through, until it is corrected or removed.")
		return
	}
	o.connections = connections(p)
	if len(spec.ProxyProtocol.TrustedCIDRs) > 0 {
		if o.connections == nil {
			o.connections = &snapshot.ConnectionPolicy{Origin: parametersOrigin(p)}
		}
		if o.connections.ProxyProtocol == nil {
			o.connections.ProxyProtocol = []netip.Prefix{} // nobody, not those of the flags
		}
	}
}

// unreadable reports whether e is about who may connect, and such that it cannot be
// known who. A list that is too long, or has something twice, can be read.
func unreadable(e *field.Error) bool {
	return strings.HasPrefix(e.Field, "spec.connections") && e.Type != field.ErrorTypeDuplicate && e.Type != field.ErrorTypeTooMany
}
