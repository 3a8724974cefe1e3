package cli

import (
	"net"

	"github.com/spf13/pflag"

	"github.com/cardea-dev/cardea/controllers"
)

// webhookFlags say how the API server asks what would become of an Ingress.
type webhookFlags struct {
	addr, service, configuration, secret string
	// foreignCert and foreignKey are ingress-nginx's; the certificate is our own.
	foreignCert, foreignKey string
}

func (w *webhookFlags) bind(f *pflag.FlagSet) {
	f.StringVar(&w.addr, "webhook-addr", "", "Address on which the API server asks what would become of an Ingress before it takes it; \"\" turns it off.")
	f.StringVar(&w.service, "webhook-service", "cardea-webhook", "Name of the Service in POD_NAMESPACE by which the API server reaches --webhook-addr.")
	f.StringVar(&w.configuration, "webhook-configuration", "cardea", "Name of the ValidatingWebhookConfiguration in which the leader keeps caBundle.")
	f.StringVar(&w.secret, "webhook-secret", "cardea-webhook", "Name of the Secret in POD_NAMESPACE with the certificate of the webhook, which the leader makes and rotates.")
	f.StringVar(&w.foreignCert, "validating-webhook-certificate", "", "Ignored: the certificate of the webhook is made and rotated.")
	f.StringVar(&w.foreignKey, "validating-webhook-key", "", "Ignored: the certificate of the webhook is made and rotated.")
	for _, name := range []string{"validating-webhook-certificate", "validating-webhook-key"} {
		f.Lookup(name).Hidden = true
	}
}

// check returns an error about the first flag that makes no sense.
func (w *webhookFlags) check() error {
	if w.addr == "" {
		return nil
	}
	if _, _, err := net.SplitHostPort(w.addr); err != nil {
		return usage("--webhook-addr %q: want HOST:PORT or :PORT", w.addr)
	}
	for _, n := range []struct{ flag, value string }{
		{"webhook-service", w.service}, {"webhook-configuration", w.configuration}, {"webhook-secret", w.secret},
	} {
		if n.value == "" {
			return usage("--%s is empty, and --webhook-addr needs it", n.flag)
		}
	}
	return nil
}

// listen opens the socket. The zero WebhookConfig is for none.
func (w *webhookFlags) listen() (controllers.WebhookConfig, error) {
	if w.addr == "" {
		return controllers.WebhookConfig{}, nil
	}
	l, err := net.Listen("tcp", w.addr)
	if err != nil {
		return controllers.WebhookConfig{}, listenError("webhook-addr", w.addr, err)
	}
	return controllers.WebhookConfig{Listener: l, Service: w.service, Configuration: w.configuration, Secret: w.secret}, nil
}
