package controllers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// A session is the life of one manager: its informers list the cluster, then
// watch it. Everything that must outlive a manager is kept elsewhere.
type session struct {
	c     *Controller
	cache cache.Cache
	// bundles is the cache of the metadata of ConfigMaps. A cache has one setting for
	// a kind, and of the one ConfigMap of the Options cache holds all.
	bundles cache.Cache
	// synced says of each kind whether it was listed.
	synced map[kind]toolscache.InformerSynced
}

const (
	sessionPauseMin = time.Second
	sessionPauseMax = 30 * time.Second
	// sessionLong is the life after which a session counts as one that worked.
	sessionLong = time.Minute
)

// runSessions runs one session after the other until ctx ends.
func (c *Controller) runSessions(ctx context.Context) {
	pause := sessionPauseMin
	for ctx.Err() == nil {
		began := time.Now()
		err := c.runSession(ctx)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errOutageOver) {
			c.cfg.Logger.Info("the watches of the cluster begin anew after an outage of the API server")
			continue
		}
		if time.Since(began) > sessionLong {
			pause = sessionPauseMin
		}
		c.cfg.Logger.Error(err, "the watches of the cluster ended and will begin anew; what was published is served on", "in", pause.String())
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, sessionPauseMax)
	}
}

// errOutageOver ends a session whose informers may still wait for long before
// they try again.
var errOutageOver = errors.New("controllers: an outage of the API server is over")

// runSession runs a manager. It returns when ctx ends or the manager does, and
// always an error in the latter case.
func (c *Controller) runSession(ctx context.Context) error {
	select {
	case <-c.reach.back: // that outage was before this session
	default:
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel(nil)
	watching.Go(func() {
		select {
		case <-ctx.Done():
		case <-c.reach.back:
			cancel(errOutageOver)
		}
	})
	mgr, err := manager.New(c.cfg.REST, c.managerOptions())
	if err != nil {
		return fmt.Errorf("controllers: new manager: %w", err)
	}
	s := &session{c: c, cache: mgr.GetCache(), synced: make(map[kind]toolscache.InformerSynced)}
	if s.bundles, err = c.newBundleCache(mgr); err != nil {
		return fmt.Errorf("controllers: new cache of ConfigMaps: %w", err)
	}
	c.changes.begin(s)
	if c.cfg.Metrics.Session != nil {
		c.cfg.Metrics.Session(false)
	}
	for _, without := range c.without {
		without.Store(false)
	}
	var synced []toolscache.InformerSynced
	for _, kind := range c.kinds() {
		registered, err := s.watch(ctx, kind)
		if err != nil {
			return fmt.Errorf("controllers: watch %s: %w", kind, err)
		}
		hasSynced := registered.HasSynced
		s.synced[kind] = hasSynced
		if without := c.without[kind]; without != nil {
			hasSynced = func() bool { return registered.HasSynced() || without.Load() }
		}
		synced = append(synced, hasSynced)
	}
	err = mgr.Add(manager.RunnableFunc(func(ctx context.Context) error {
		if toolscache.WaitForCacheSync(ctx.Done(), synced...) {
			c.inStep(s)
		}
		return nil
	}))
	if err != nil {
		return fmt.Errorf("controllers: add to manager: %w", err)
	}
	err = mgr.Start(ctx)
	if cause := context.Cause(ctx); cause != nil {
		return cause // what the manager says of its end does not matter then
	}
	if err == nil {
		return errors.New("controllers: the manager ended")
	}
	return fmt.Errorf("controllers: the manager ended: %w", err)
}

// inStep says that the handlers have seen everything that was there at the
// beginning.
func (c *Controller) inStep(s *session) {
	c.mu.Lock()
	clear(c.trouble)
	c.mu.Unlock()
	c.cfg.Logger.V(1).Info("the watches of the cluster are in step")
	if c.cfg.Metrics.Session != nil {
		c.cfg.Metrics.Session(true)
	}
	c.changes.finish(s)
}

func (c *Controller) managerOptions() manager.Options {
	// Informers that wait between two attempts end later; nobody listens to them
	// any more.
	grace := time.Second
	return manager.Options{
		Scheme:                  scheme,
		MapperProvider:          staticMapper,
		Logger:                  c.cfg.Logger.V(1),
		LeaderElection:          false,
		Metrics:                 metricsserver.Options{BindAddress: "0"},
		HealthProbeBindAddress:  "0",
		GracefulShutdownTimeout: &grace,
		NewCache: func(config *rest.Config, options cache.Options) (cache.Cache, error) {
			c, err := cache.New(config, options)
			return unawaited{c}, err
		},
		Cache: cache.Options{
			DefaultNamespaces:        namespaces(c.watchNamespaces()...),
			DefaultTransform:         slim,
			DefaultWatchErrorHandler: c.watchFailed,
			ByObject: map[client.Object]cache.ByObject{
				&corev1.Service{}:   {Namespaces: c.serviceNamespaces()},
				secretMetadata():    {Transform: slimMetadata, Field: notHelm, Namespaces: namespaces(c.secretNamespaces()...)},
				&corev1.ConfigMap{}: {Namespaces: c.configNamespaces()},
			},
		},
	}
}

// newBundleCache returns a cache of the metadata of ConfigMaps that mgr runs.
func (c *Controller) newBundleCache(mgr manager.Manager) (cache.Cache, error) {
	bundles, err := cache.New(mgr.GetConfig(), cache.Options{
		HTTPClient:        mgr.GetHTTPClient(),
		Scheme:            mgr.GetScheme(),
		Mapper:            mgr.GetRESTMapper(),
		DefaultNamespaces: namespaces(c.watchNamespaces()...),
		DefaultTransform:  slimMetadata,
		DefaultWatchErrorHandler: func(ctx context.Context, _ *toolscache.Reflector, err error) {
			c.watchOfKindFailed(ctx, bundleKind, err)
		},
	})
	if err != nil {
		return nil, err
	}
	return bundles, mgr.Add(manager.RunnableFunc(bundles.Start))
}

// cacheOf returns the cache of a kind.
func (s *session) cacheOf(kind kind) cache.Cache {
	if kind == bundleKind {
		return s.bundles
	}
	return s.cache
}

// kinds are those that are watched.
func (c *Controller) kinds() []kind {
	if c.cfg.Translate.ConfigMap.Name == "" {
		return watchedKinds
	}
	return append(slices.Clone(watchedKinds), configKind)
}

// configNamespaces is the one ConfigMap that is watched.
func (c *Controller) configNamespaces() map[string]cache.Config {
	name := c.cfg.Translate.ConfigMap
	if name.Name == "" {
		return nil
	}
	return map[string]cache.Config{name.Namespace: {FieldSelector: fields.OneTermEqualSelector("metadata.name", name.Name)}}
}

// unawaited is a cache that the manager does not wait for: runSession does so
// itself. A manager (controller-runtime v0.24) whose context ends while it waits
// for its caches never returns, and that is the state in which a controller is
// stopped that could not reach the API server.
type unawaited struct{ cache.Cache }

func (unawaited) WaitForCacheSync(context.Context) bool { return true }

// watchNamespaces and secretNamespaces return the namespaces to watch; none means
// all.
func (c *Controller) watchNamespaces() []string {
	if c.cfg.WatchNamespace == "" {
		return nil
	}
	return []string{c.cfg.WatchNamespace}
}

func (c *Controller) secretNamespaces() []string {
	if len(c.cfg.SecretNamespaces) > 0 {
		return c.cfg.SecretNamespaces
	}
	return c.watchNamespaces()
}

// namespaces returns nil, which means all, for none.
func namespaces(names ...string) map[string]cache.Config {
	if len(names) == 0 {
		return nil
	}
	all := make(map[string]cache.Config, len(names))
	for _, name := range names {
		all[name] = cache.Config{}
	}
	return all
}

// serviceNamespaces adds the one Service whose address is published to the
// watched namespace.
func (c *Controller) serviceNamespaces() map[string]cache.Config {
	all := namespaces(c.watchNamespaces()...)
	publish := c.cfg.Status.PublishService
	if all != nil && publish.Name != "" && publish.Namespace != c.cfg.WatchNamespace {
		all[publish.Namespace] = cache.Config{FieldSelector: fields.OneTermEqualSelector("metadata.name", publish.Name)}
	}
	return all
}

// watch registers a handler that puts every state of every object of a kind into
// the changes.
func (s *session) watch(ctx context.Context, kind kind) (toolscache.ResourceEventHandlerRegistration, error) {
	informer, err := s.cacheOf(kind).GetInformer(ctx, prototype(kind), cache.BlockUntilSynced(false))
	if err != nil {
		return nil, err
	}
	put := func(object client.Object, gone bool) {
		key := objectKey{kind, client.ObjectKeyFromObject(object)}
		if s.c.status != nil && kind == serviceKind {
			s.c.status.service(key.name, object.(*corev1.Service), gone)
		}
		if !s.c.watches(key) {
			return
		}
		if gone {
			object = nil
		}
		s.c.changes.put(s, key, object, time.Now())
	}
	return informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) { put(o.(client.Object), false) },
		UpdateFunc: func(before, o any) {
			// A resync repeats what is known.
			if object := o.(client.Object); object.GetResourceVersion() != before.(client.Object).GetResourceVersion() {
				put(object, false)
			}
		},
		DeleteFunc: func(o any) {
			if missed, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
				o = missed.Obj
			}
			if object, ok := o.(client.Object); ok {
				put(object, true)
			}
		},
	})
}

// watches reports whether an object takes part in the translation; the Service
// whose address is published may lie outside of the watched namespace.
func (c *Controller) watches(key objectKey) bool {
	return c.cfg.WatchNamespace == "" || key.kind == configKind || key.name.Namespace == "" || key.name.Namespace == c.cfg.WatchNamespace
}

// version returns the metadata of an object as the informer has it.
func (s *session) version(kind kind, name types.NamespacedName) (resourceVersion string, exists bool) {
	if s.blind(kind) {
		return "", true
	}
	o := prototype(kind)
	err := s.cacheOf(kind).Get(context.Background(), name, o, client.UnsafeDisableDeepCopy)
	if err != nil {
		// Whoever has to know better asks the API server.
		return "", !apierrors.IsNotFound(err)
	}
	return o.GetResourceVersion(), true
}

// count returns how many objects of a kind there are that is watched by metadata.
func (s *session) count(kind kind) int {
	list := &metav1.PartialObjectMetadataList{}
	of := prototype(kind).GetObjectKind().GroupVersionKind()
	list.SetGroupVersionKind(of.GroupVersion().WithKind(of.Kind + "List"))
	if err := s.cacheOf(kind).List(context.Background(), list, client.UnsafeDisableDeepCopy); err != nil {
		return 0
	}
	return len(list.Items)
}

// blind reports whether the session is in step without a kind: its cache would wait
// for the first list.
func (s *session) blind(kind kind) bool {
	without := s.c.without[kind]
	return without != nil && without.Load() && !s.synced[kind]()
}

// watchFailed notes and logs why a watch is not in step. Informers try again by
// themselves.
func (c *Controller) watchFailed(ctx context.Context, r *toolscache.Reflector, err error) {
	c.watchOfKindFailed(ctx, kindOfType(r.TypeDescription()), err)
}

func (c *Controller) watchOfKindFailed(ctx context.Context, kind kind, err error) {
	if ctx.Err() != nil {
		return
	}
	if errors.Is(err, io.EOF) || apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
		return // the ordinary end of a watch
	}
	text := err.Error()
	name := string(kind)
	if without := c.without[kind]; without != nil && (apierrors.IsNotFound(err) || apierrors.IsForbidden(err)) {
		if !without.Swap(true) {
			c.tellWithout(kind, err)
		}
		return
	}
	c.mu.Lock()
	repeated := c.trouble[name] == text
	c.trouble[name] = text
	c.mu.Unlock()
	if repeated {
		return
	}
	c.cfg.Logger.Info("a watch of the cluster failed and will be tried again; what was published is served on", "kind", name, "error", text)
}

// tellWithout says that a kind cannot be read: its definition is not installed, or our
// role is older than it is. The cluster is served without; who refers to an object of
// it has a verdict. The informer tries again by itself and finds the objects as soon
// as they are there.
func (c *Controller) tellWithout(kind kind, err error) {
	switch {
	case kind == paramsKind:
		c.cfg.Logger.Info("the parameters of IngressClasses cannot be read; classes are served without", "kind", string(kind), "error", err.Error(),
			"remedy", "apply config/crd, and the role of this version")
	case kind == bundleKind:
		c.cfg.Logger.Info("ConfigMaps cannot be watched; those that Ingresses name for authorities are not read", "kind", string(kind), "error", err.Error(),
			"remedy", "apply the role of this version")
	case apierrors.IsNotFound(err):
		// Most clusters have no Gateway API.
		c.cfg.Logger.V(1).Info("there are no ReferenceGrants; Secrets of other namespaces are not granted", "kind", string(kind))
	default:
		c.cfg.Logger.Info("ReferenceGrants cannot be read; Secrets of other namespaces are not granted", "kind", string(kind), "error", err.Error(),
			"remedy", "apply the role of this version")
	}
}
