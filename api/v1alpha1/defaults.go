package v1alpha1

// Default sets what the API server sets by the CustomResourceDefinition. It is for
// objects that come from elsewhere.
func (p *IngressClassParameters) Default() {
	spec := &p.Spec
	setDefault(&spec.TLS.Policy, PolicyIntermediate)
	setDefault(&spec.HostOwnership, HostOwnershipNamespace)
	setDefault(&spec.LastGoodAfterDelete, "1h")
	if spec.TLS.Custom != nil {
		spec.TLS.Custom.setDefaults()
	}
	for i := range spec.TLS.Policies {
		spec.TLS.Policies[i].setDefaults()
	}
}

func (p *TLSPolicy) setDefaults() {
	setDefault(&p.MinVersion, "1.2")
	setDefault(&p.MaxVersion, "1.3")
	setDefault(&p.ALPNMismatch, ALPNMismatchAllow)
	if p.SessionTickets == nil {
		on := true
		p.SessionTickets = &on
	}
}

func setDefault[T ~string](field *T, value T) {
	if *field == "" {
		*field = value
	}
}
