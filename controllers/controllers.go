// Package controllers keeps the data plane in step with a cluster.
//
// A [Controller] watches Ingress, IngressClass, Service, EndpointSlice and the
// metadata of Secret and ConfigMap, reads those of them that Ingresses of its classes
// name, translates everything ([translate]) and hands each change to a [Publisher].
// It runs the same way on every replica; what is to be done once is done by the
// holder of a Lease.
//
// The pieces, in the order in which a change passes them:
//
//   - session.go, kinds.go, reach.go: the informers of one manager. When a manager
//     ends, for whatever reason, and after an outage of the API server, the next
//     one begins; the data plane serves on.
//   - changes.go: what the informers saw and nobody has looked at yet, the last
//     state of each object only.
//   - loop.go, contents.go: one goroutine that owns the translator and the stores of
//     Secrets and ConfigMaps.
//   - operator.go: what files of the operator say.
//   - reads.go, fill.go: which of them to read, and reading them.
//   - verdicts.go, event*.go: what the owners of objects are told.
//   - leader.go: which replica leads. status*.go: status.loadBalancer. tickets.go:
//     the secrets of TLS session tickets.
//   - admission.go: what the API server is answered before it takes an Ingress.
//     webhook*.go: the server for that, and its certificate.
package controllers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"github.com/cardea-dev/cardea/controllers/secrets"
	"github.com/cardea-dev/cardea/controllers/translate"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// A Publisher takes what is to be served: the data plane.
type Publisher interface {
	Publish(snapshot.Update) error
}

// Config configures a [Controller].
type Config struct {
	// REST says how to reach the API server.
	REST *rest.Config
	// Publisher may be called by several goroutines at once, but only by one with
	// a Spec or endpoints.
	Publisher Publisher
	// Translate says how to translate; its ControllerName and Class say which
	// Ingresses are ours.
	Translate translate.Options
	// WatchNamespace restricts everything that has a namespace to one. Default
	// all.
	WatchNamespace string
	// SecretNamespaces are the namespaces whose Secrets are read. What Ingresses of
	// others name is told to be unreadable. Default all that are watched.
	SecretNamespaces []string
	// LastGoodAfterDelete is how long the certificate of a deleted Secret is
	// served. Nil means [secrets.DefaultLastGoodAfterDelete], 0 ends it at once.
	LastGoodAfterDelete *time.Duration
	// Events are told what the owners of objects should know, and run by
	// [Controller.Run]. Nil: only the log is.
	Events *Events
	// Leader says how the replicas agree on one. Status needs it.
	Leader LeaderConfig
	// Status says what to write into the status of Ingresses. The zero value
	// writes nothing.
	Status StatusConfig
	// Tickets says where the secrets of session tickets are. It needs Leader.
	Tickets TicketsConfig
	// Webhook answers the API server what would become of an Ingress. The zero value
	// answers nothing. It needs Leader.
	Webhook WebhookConfig
	// Process, if set, is told what the parameters of the class say to the process
	// around the data plane, before what they say to the data plane is published.
	Process func(translate.Process)
	// Metrics are called when a number changes.
	Metrics Metrics
	Logger  logr.Logger

	// pause is the least time between two publishes; default 50 ms.
	pause time.Duration
}

// StatusConfig says what is written into status.loadBalancer of Ingresses, by the
// leader.
type StatusConfig struct {
	// PublishService is the Service whose addresses are written.
	PublishService types.NamespacedName
	// PublishAddresses are written as they are, instead: IP addresses and names.
	PublishAddresses []string
	// PublishNodes has the addresses of the nodes written on which ready pods of this
	// controller run, instead. They are found by the labels of the pod that
	// LeaderConfig.Identity names.
	PublishNodes NodeAddresses

	nodesPause time.Duration // tests: instead of 10 s
}

func (s StatusConfig) enabled() bool {
	return len(s.PublishAddresses) > 0 || s.PublishService.Name != "" || s.PublishNodes != NodesNot
}

// Metrics are functions that are told numbers. Any may be nil.
type Metrics struct {
	// Verdicts is told how many verdicts there are, by level and reason.
	Verdicts func(map[VerdictKey]int)
	// Secrets is told how many Secrets are referenced, and which of them
	// ("namespace/name", sorted) are served from an earlier content.
	Secrets func(referenced int, lastGood []string)
	// ConfigMaps is the same of the ConfigMaps that are named for authorities.
	ConfigMaps func(referenced int, lastGood []string)
	// SecretRead is told the result of each read of a Secret: "read", "absent",
	// "forbidden" or "error".
	SecretRead func(result string)
	// ConfigMapRead is the same of ConfigMaps.
	ConfigMapRead func(result string)
	// Session is told when the watches of the cluster are in step, and when they
	// begin anew.
	Session func(synced bool)
	// Reachable is told whether the API server answered the first request, and when
	// it stops and begins to answer.
	Reachable func(answers bool)
	// Leader is told whether this replica is the leader.
	Leader func(bool)
	// Admission is told each decision of the webhook, and how long it took.
	Admission func(AdmissionDecision, time.Duration)
	// WebhookExpires is told when the certificate ends that the webhook serves.
	WebhookExpires func(time.Time)
	// TicketsRotated is told when the shared secrets of session tickets that are
	// now in force were rotated.
	TicketsRotated func(time.Time)
}

// VerdictKey is what verdicts are counted by.
type VerdictKey struct {
	Level  translate.Level
	Reason translate.Reason
}

// A Controller keeps one data plane in step with one cluster.
type Controller struct {
	cfg      Config
	changes  *changes
	reach    *reach
	election *election     // nil: there is no leader
	status   *statusWriter // nil: status is not written
	tickets  *ticketKeeper // nil: session tickets are this replica's own
	webhook  *webhook      // nil: the API server asks nobody
	// asks are questions to the loop, which answers between two turns.
	asks chan func(*loop)
	// leading says that this replica is the leader, or the only one.
	leading atomic.Bool

	// without says that the watch of a kind cannot begin and nobody waits for it.
	without map[kind]*atomic.Bool

	mu       sync.Mutex
	notReady string
	// trouble is the last error of each watch that is not in step.
	trouble map[string]string
}

// New returns a controller; [Controller.Run] starts it. It does not contact the
// API server.
func New(cfg Config) (*Controller, error) {
	switch {
	case cfg.REST == nil:
		return nil, errors.New("controllers: no REST config")
	case cfg.Publisher == nil:
		return nil, errors.New("controllers: no publisher")
	}
	cfg.Translate.WatchNamespace = cfg.WatchNamespace
	if cfg.Translate.ControllerName == "" {
		cfg.Translate.ControllerName = translate.DefaultControllerName
	}
	if cfg.LastGoodAfterDelete == nil {
		d := secrets.DefaultLastGoodAfterDelete
		cfg.LastGoodAfterDelete = &d
	}
	if cfg.pause == 0 {
		cfg.pause = 50 * time.Millisecond
	}
	cfg.REST = rest.CopyConfig(cfg.REST)
	// Reads are bounded by their number at a time; client-go's own limit (5 a
	// second) would make the first fill of a large cluster last for minutes.
	cfg.REST.QPS = -1

	c := &Controller{
		cfg:      cfg,
		changes:  newChanges(),
		asks:     make(chan func(*loop)),
		notReady: "the cluster has not been read yet",
		trouble:  make(map[string]string),
		without:  map[kind]*atomic.Bool{paramsKind: {}, grantKind: {}, bundleKind: {}},
		reach:    newReach(cfg.Logger, cfg.Metrics.Reachable),
	}
	c.reach.ready = c.ready
	c.reach.watch(c.cfg.REST)
	var err error
	if c.election, err = newElection(cfg.Leader, c.cfg.REST, cfg.Logger); err != nil {
		return nil, fmt.Errorf("controllers: leader: %w", err)
	}
	if c.election != nil && cfg.Metrics.Leader != nil {
		c.election.changed = append(c.election.changed, cfg.Metrics.Leader)
	}
	if cfg.Status.enabled() {
		if c.election == nil {
			return nil, errors.New("controllers: status needs a leader: no namespace for the Lease")
		}
		if c.status, err = newStatusWriter(cfg); err != nil {
			return nil, fmt.Errorf("controllers: status: %w", err)
		}
		c.election.changed = append(c.election.changed, c.status.lead)
	}
	if cfg.Tickets.Secret != "" {
		if c.election == nil {
			return nil, errors.New("controllers: session tickets need a leader: no namespace for the Lease")
		}
		client, err := typedcorev1.NewForConfig(c.cfg.REST)
		if err != nil {
			return nil, fmt.Errorf("controllers: session tickets: %w", err)
		}
		c.tickets = newTicketKeeper(c.cfg, client)
		c.election.changed = append(c.election.changed, c.tickets.lead)
	}
	if cfg.Webhook.Listener != nil {
		if c.election == nil {
			return nil, errors.New("controllers: the webhook needs a leader: no namespace for the Lease")
		}
		if c.webhook, err = newWebhook(c); err != nil {
			return nil, fmt.Errorf("controllers: webhook: %w", err)
		}
		c.election.changed = append(c.election.changed, c.webhook.keeper.lead)
	}
	if c.election != nil {
		// Whoever leads now tells what the one before told.
		c.election.changed = append(c.election.changed, func(leading bool) {
			c.leading.Store(leading)
			c.changes.notify()
		})
	} else {
		c.leading.Store(true)
	}
	return c, nil
}

// Run runs until ctx ends. Nothing that the API server does or does not do makes
// it return earlier.
func (c *Controller) Run(ctx context.Context) error {
	secretReader, configMapReader, err := newContentReaders(c.cfg.REST, c.secretNamespaces())
	if err != nil {
		return fmt.Errorf("controllers: %w", err)
	}
	probe, err := newProbe(c.cfg.REST)
	if err != nil {
		return fmt.Errorf("controllers: %w", err)
	}
	var running sync.WaitGroup
	defer running.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()

	if c.cfg.Events != nil {
		running.Go(func() { c.cfg.Events.Run(ctx) })
	}
	if c.status != nil {
		running.Go(func() { c.status.Run(ctx) })
	}
	if c.tickets != nil {
		running.Go(func() { c.tickets.run(ctx) })
	}
	if c.webhook != nil {
		running.Go(func() { c.webhook.run(ctx) })
	}
	if c.election != nil {
		running.Go(func() { c.election.run(ctx) })
	}
	running.Go(func() { c.reach.run(ctx, probe) })
	running.Go(func() { newLoop(c, secretReader, configMapReader).run(ctx) })
	c.runSessions(ctx)
	return nil
}

// NotReady says why the first full table is not published yet; "" once it is.
// It never goes back: what was published is served whatever happens to the API
// server.
func (c *Controller) NotReady() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.notReady == "" {
		return ""
	}
	why := c.notReady
	if err := c.reach.trouble(); err != "" {
		return why + "; the API server does not answer: " + err
	}
	for _, kind := range c.kinds() {
		if err, ok := c.trouble[string(kind)]; ok {
			why += fmt.Sprintf("; %s: %s", kind, err)
		}
	}
	return why
}

// ready is whether the first full table is published.
func (c *Controller) ready() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.notReady == ""
}

func (c *Controller) setNotReady(why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.notReady != "" {
		c.notReady = why
	}
}

func (c *Controller) setReady() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notReady = ""
}
