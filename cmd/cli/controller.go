package cli

import (
	"cmp"
	"context"
	"os"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/cardea-dev/cardea/controllers"
	"github.com/cardea-dev/cardea/controllers/translate"
)

// clusterSettings are the flags of the controller alone.
type clusterSettings struct {
	settings
	kubeconfig, watchNamespace        string
	secretNamespaces                  []string
	publishService                    string
	publishAddresses                  []string
	publishNodes                      string
	reportNodeInternal                bool
	updateStatus                      bool
	electionID                        string
	defaultSSLCertificate, echSecret  string
	eventsClientAddress               string
	shutdownGraceSeconds              int
	ticketSecret                      string
	ticketRotation                    time.Duration
	namespace, pod                    string
	publishServiceName, defaultSecret types.NamespacedName
	echSecretName                     types.NamespacedName
	webhook                           webhookFlags
}

func newController() *cobra.Command {
	var s clusterSettings
	cmd := &cobra.Command{
		Use:   "controller",
		Short: "Serve a Kubernetes cluster.",
		Long: text(`
			Serve the Ingresses and TLS Secrets of a Kubernetes cluster: the one that this
			runs in, or that of --kubeconfig.

			Every replica watches the cluster and serves it. One of them, the holder of a
			Lease, writes the addresses of --publish-service, --publish-address or
			--publish-node-addresses into the status of the Ingresses, where they stay when
			Cardea ends, rotates the secrets of TLS session tickets, which all replicas share
			through a Secret, and tells of certificates that end. While the API server is
			away, what was read last is served.

			The environment variables POD_NAMESPACE and POD_NAME say where the Lease is and
			who this replica is in it.

			These flags of ingress-nginx are accepted as well: --controller-class,
			--ingress-class, --publish-status-address, --report-node-internal-ip-address,
			--shutdown-grace-period and --validating-webhook.`),
		Example: text(`
			cardea controller --publish-service cardea/cardea
			cardea controller --kubeconfig ~/.kube/config --publish-address 192.0.2.1,2001:db8::1
			cardea controller --controller-class k8s.io/ingress-nginx --ingress-class nginx`),
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.parse(cmd.Flags()); err != nil {
				return err
			}
			return s.run(cmd)
		},
	}
	f := cmd.Flags()
	s.bind(f)
	// With a margin of 10 s these fit into a terminationGracePeriodSeconds of 300; see
	// docs/shutdown.md.
	setDefault(f, "shutdown-delay", "10s")
	setDefault(f, "shutdown-timeout", "4m")
	setDefault(f, "external-https-port", "443")
	f.StringVar(&s.kubeconfig, "kubeconfig", "", "Kubeconfig file of the cluster to serve; without it $KUBECONFIG, or the cluster that this runs in.")
	f.StringVar(&s.watchNamespace, "watch-namespace", "", "Namespace to serve; all without it.")
	f.StringSliceVar(&s.secretNamespaces, "secret-namespaces", nil, "Namespaces whose Secrets are read; what Ingresses of others name is told to be unreadable. All without it.")
	f.StringVar(&s.publishService, "publish-service", "", "NAMESPACE/NAME of the Service whose addresses go into the status of Ingresses.")
	f.StringSliceVar(&s.publishAddresses, "publish-address", nil, "Addresses that go into the status of Ingresses instead.")
	f.StringVar(&s.publishNodes, "publish-node-addresses", "", "Put the addresses of the nodes into the status of Ingresses on which ready pods of this controller run: external (internal ones of a node that has none) or internal.")
	f.BoolVar(&s.reportNodeInternal, "report-node-internal-ip-address", false, "--publish-node-addresses=internal, unless another source of addresses is given.")
	f.BoolVar(&s.updateStatus, "update-status", true, "Write the status of Ingresses.")
	f.StringVar(&s.electionID, "election-id", "cardea-leader", "Name of the Lease whose holder is the leader.")
	f.StringVar(&s.defaultSSLCertificate, "default-ssl-certificate", "", "NAMESPACE/NAME of the TLS Secret for clients that ask for no declared host.")
	f.StringVar(&s.echSecret, echSecretFlag, "", "NAMESPACE/NAME of the Secret with the keys of Encrypted ClientHello: clients are told of that in ech.pem, further entries *.pem decrypt only.")
	f.StringVar(&s.ticketSecret, "session-ticket-secret", "cardea-session-tickets", "Name of the Secret in POD_NAMESPACE with the secrets of TLS session tickets, which the leader makes and rotates; without it a session resumes only at the replica that began it.")
	f.DurationVar(&s.ticketRotation, "session-ticket-rotation", controllers.DefaultTicketRotation, "How long a secret of session tickets is in use.")
	f.StringVar(&s.eventsClientAddress, "events-client-address", string(controllers.ClientPrefix), "How much of client addresses Events tell the owners of Ingresses: full, prefix or none.")
	s.webhook.bind(f)
	f.IntVar(&s.shutdownGraceSeconds, "shutdown-grace-period", 0, "--shutdown-delay in seconds.")
	s.bindSynonyms(f)
	return cmd
}

// bindSynonyms binds the names that ingress-nginx has for flags of ours.
func (s *clusterSettings) bindSynonyms(f *pflag.FlagSet) {
	for name, ours := range map[string]string{
		"controller-class":       "controller-name",
		"ingress-class":          "class",
		"publish-status-address": "publish-address",
		"validating-webhook":     "webhook-addr",
	} {
		flag := f.Lookup(ours)
		f.AddFlag(&pflag.Flag{Name: name, Value: flag.Value, DefValue: flag.DefValue, Usage: "--" + ours + ".", Hidden: true})
	}
	f.Lookup("shutdown-grace-period").Hidden = true
	f.Lookup("report-node-internal-ip-address").Hidden = true
}

// setDefault gives a shared flag another default.
func setDefault(f *pflag.FlagSet, name, value string) {
	flag := f.Lookup(name)
	flag.DefValue = value
	if err := flag.Value.Set(value); err != nil {
		panic(err) // a constant of this file
	}
}

// parse checks the flags of the controller and takes them apart.
func (s *clusterSettings) parse(f *pflag.FlagSet) error {
	if f.Changed("shutdown-grace-period") {
		if f.Changed("shutdown-delay") {
			return usage("--shutdown-delay and --shutdown-grace-period are the same; give one")
		}
		s.shutdownDelay = time.Duration(s.shutdownGraceSeconds) * time.Second
	}
	if s.watchNamespace != "" && len(s.secretNamespaces) > 0 {
		return usage("--watch-namespace and --secret-namespaces exclude each other")
	}
	if s.publishService != "" && len(s.publishAddresses) > 0 {
		return usage("--publish-service and --publish-address exclude each other")
	}
	switch controllers.NodeAddresses(s.publishNodes) {
	case controllers.NodesNot:
	case controllers.NodesExternal, controllers.NodesInternal:
		if s.publishService != "" || len(s.publishAddresses) > 0 {
			return usage("--publish-node-addresses excludes --publish-service and --publish-address")
		}
	default:
		return usage("--publish-node-addresses %q: want external or internal", s.publishNodes)
	}
	if s.reportNodeInternal && s.publishService == "" && len(s.publishAddresses) == 0 {
		s.publishNodes = string(controllers.NodesInternal)
	}
	if s.defaultSSLCertificate != "" && s.defaultCert != "" {
		return usage("--default-ssl-certificate and --default-tls-cert exclude each other")
	}
	if s.defaultSSLCertificate != "" && s.selfSigned {
		return usage("--default-ssl-certificate and --default-tls-self-signed exclude each other")
	}
	if s.echSecret != "" && len(s.echKeyFiles) > 0 {
		return usage("--ech-secret and --ech-key-file exclude each other")
	}
	for _, n := range []struct {
		flag, value string
		to          *types.NamespacedName
	}{
		{"publish-service", s.publishService, &s.publishServiceName},
		{"default-ssl-certificate", s.defaultSSLCertificate, &s.defaultSecret},
		{echSecretFlag, s.echSecret, &s.echSecretName},
	} {
		name, err := namespacedName(n.flag, n.value)
		if err != nil {
			return err
		}
		*n.to = name
	}
	if err := s.webhook.check(); err != nil {
		return err
	}
	if s.ticketRotation < time.Minute {
		return usage("--session-ticket-rotation %s: want at least a minute", s.ticketRotation)
	}
	switch controllers.ClientAddress(s.eventsClientAddress) {
	case controllers.ClientFull, controllers.ClientPrefix, controllers.ClientNone:
	default:
		return usage("--events-client-address %q: want full, prefix or none", s.eventsClientAddress)
	}
	hostname, _ := os.Hostname()
	s.namespace = cmp.Or(os.Getenv("POD_NAMESPACE"), "default")
	s.pod = cmp.Or(os.Getenv("POD_NAME"), hostname, "cardea")
	return nil
}

func (s *clusterSettings) run(cmd *cobra.Command) error {
	config, err := loadREST(s.kubeconfig)
	if err != nil {
		return unreadable(err)
	}
	program := s.newLog(cmd)
	log := logr.FromSlogHandler(program.Handler())
	events, err := controllers.NewEvents(controllers.EventsConfig{
		REST:          config,
		Controller:    s.controllerName,
		Instance:      s.pod,
		ClientAddress: controllers.ClientAddress(s.eventsClientAddress),
		Logger:        log.WithName("events"),
	})
	if err != nil {
		return err
	}
	p, err := s.open(cmd, processOptions{sink: events.Sink(), externalHTTPPort: 80})
	if err != nil {
		return err
	}
	redirectKubernetesLogs(log)
	webhook, err := s.webhook.listen()
	if err != nil {
		p.close()
		return err
	}
	if webhook.Listener != nil {
		p.log.Info("listening", "listener", "webhook", "addr", webhook.Listener.Addr().String())
	}
	c, err := controllers.New(controllers.Config{
		REST:      config,
		Publisher: p.board,
		Translate: p.options(),
		Events:    events,

		WatchNamespace:   s.watchNamespace,
		SecretNamespaces: s.secretNamespaces,

		Leader:  controllers.LeaderConfig{Namespace: s.namespace, Lease: s.electionID, Identity: s.pod},
		Status:  s.status(),
		Tickets: controllers.TicketsConfig{Secret: s.ticketSecret, Rotation: s.ticketRotation},
		Webhook: webhook,
		Process: func(params translate.Process) {
			p.takeProcess(params)
			events.SetClientAddress(controllers.ClientAddress(params.EventsClientAddress))
		},
		Metrics: controllerMetrics(p.registry, p.observer),
		Logger:  log.WithName("controllers"),
	})
	if err != nil {
		if webhook.Listener != nil {
			_ = webhook.Listener.Close()
		}
		p.close()
		return err
	}
	p.sourceNotReady = c.NotReady
	p.setFiles = func(f translate.Files) error { c.SetFiles(f); return nil }
	return p.run(cmd.Context(), func(ctx context.Context) {
		var running sync.WaitGroup
		running.Go(func() { s.followDefaultSecret(ctx, p, config) })
		running.Go(func() { s.followECHSecret(ctx, p, config) })
		defer running.Wait()
		if err := c.Run(ctx); err != nil {
			p.log.Error("the controllers ended; what was read last is served on", "error", err.Error())
		}
	})
}

func (s *clusterSettings) status() controllers.StatusConfig {
	if !s.updateStatus {
		return controllers.StatusConfig{}
	}
	return controllers.StatusConfig{
		PublishService:   s.publishServiceName,
		PublishAddresses: s.publishAddresses,
		PublishNodes:     controllers.NodeAddresses(s.publishNodes),
	}
}

var redirectOnce sync.Once

// redirectKubernetesLogs makes the libraries of Kubernetes, which log through
// globals, log into ours. The globals can be set once.
func redirectKubernetesLogs(log logr.Logger) {
	redirectOnce.Do(func() {
		ctrllog.SetLogger(log.WithName("controller-runtime"))
		klog.SetLogger(log.WithName("client-go"))
	})
}

// followDefaultSecret serves the Secret of --default-ssl-certificate.
func (s *clusterSettings) followDefaultSecret(ctx context.Context, p *process, config *rest.Config) {
	if s.defaultSecret.Name == "" {
		return
	}
	f, err := newSecretFollower(s.defaultSecret, p, config)
	if err != nil {
		p.log.Error("the default certificate cannot be read", "secret", s.defaultSecret.String(), "error", err.Error())
		return
	}
	f.run(ctx)
}
