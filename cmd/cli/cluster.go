package cli

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cardea-dev/cardea/api/gateway"
	"github.com/cardea-dev/cardea/api/v1alpha1"
	"github.com/cardea-dev/cardea/controllers/manifest"
	"github.com/cardea-dev/cardea/controllers/translate"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// pageSize is how many objects are read at once.
const pageSize = 500

// loadREST says how to reach a cluster: by the file, by $KUBECONFIG or
// ~/.kube/config, or as a pod.
func loadREST(kubeconfig string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	c, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	c.UserAgent = "cardea/" + Version()
	return c, nil
}

// newClient returns a client for the kinds that are read. It knows their resources
// and asks the API server for no list of them.
func newClient(config *rest.Config) (client.Client, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, networkingv1.AddToScheme, discoveryv1.AddToScheme, v1alpha1.AddToScheme, gateway.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(networkingv1.SchemeGroupVersion.WithKind("IngressClass"), meta.RESTScopeRoot)
	// Its plural is its singular.
	resource := v1alpha1.GroupVersion.WithResource(v1alpha1.Resource)
	mapper.AddSpecific(v1alpha1.GroupVersion.WithKind(v1alpha1.Kind), resource, resource, meta.RESTScopeRoot)
	mapper.Add(gateway.GroupVersion.WithKind(gateway.Kind), meta.RESTScopeNamespace)
	mapper.Add(networkingv1.SchemeGroupVersion.WithKind("Ingress"), meta.RESTScopeNamespace)
	mapper.Add(corev1.SchemeGroupVersion.WithKind("Service"), meta.RESTScopeNamespace)
	mapper.Add(corev1.SchemeGroupVersion.WithKind("Secret"), meta.RESTScopeNamespace)
	mapper.Add(corev1.SchemeGroupVersion.WithKind("ConfigMap"), meta.RESTScopeNamespace)
	mapper.Add(discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice"), meta.RESTScopeNamespace)
	return client.New(config, client.Options{Scheme: scheme, Mapper: mapper})
}

// readCluster reads once what a controller would watch. Of Secrets and ConfigMaps it
// reads those alone that Ingresses of our classes name.
func readCluster(ctx context.Context, kubeconfig, namespace string, options translate.Options) (manifest.Set, error) {
	config, err := loadREST(kubeconfig)
	if err != nil {
		return manifest.Set{}, err
	}
	c, err := newClient(config)
	if err != nil {
		return manifest.Set{}, fmt.Errorf("cluster: %w", err)
	}
	r := clusterReader{ctx: ctx, client: c, namespace: namespace}
	for _, err := range []error{
		list(&r, func(l *networkingv1.IngressClassList) { addAll(&r, l.Items) }),
		r.listParameters(),
		r.listGrants(),
		list(&r, func(l *networkingv1.IngressList) { addAll(&r, l.Items) }),
		list(&r, func(l *corev1.ServiceList) { addAll(&r, l.Items) }),
		list(&r, func(l *discoveryv1.EndpointSliceList) { addAll(&r, l.Items) }),
		r.readConfigMap(options.ConfigMap),
	} {
		if err != nil {
			return manifest.Set{}, fmt.Errorf("cluster: %w", err)
		}
	}
	if err := r.readNamed(options); err != nil {
		return manifest.Set{}, fmt.Errorf("cluster: %w", err)
	}
	return r.set, nil
}

type clusterReader struct {
	ctx       context.Context
	client    client.Client
	namespace string
	set       manifest.Set
}

// list reads all pages of a list, each into a list of its own.
func list[T any, L interface {
	*T
	client.ObjectList
}](r *clusterReader, page func(L)) error {
	options := []client.ListOption{client.InNamespace(r.namespace), client.Limit(pageSize)}
	next := ""
	for {
		l := L(new(T))
		if err := r.client.List(r.ctx, l, append(options, client.Continue(next))...); err != nil {
			return err
		}
		page(l)
		if next = l.GetContinue(); next == "" {
			return nil
		}
	}
}

// listParameters reads the parameters of classes. A cluster without their
// definition has none.
func (r *clusterReader) listParameters() error {
	err := list(r, func(l *v1alpha1.IngressClassParametersList) {
		for i := range l.Items {
			l.Items[i].Default()
		}
		addAll(r, l.Items)
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// listGrants reads the ReferenceGrants. Most clusters have no Gateway API.
func (r *clusterReader) listGrants() error {
	err := list(r, func(l *gateway.ReferenceGrantList) { addAll(r, l.Items) })
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// readConfigMap reads that ConfigMap, if it exists.
func (r *clusterReader) readConfigMap(name types.NamespacedName) error {
	if name.Name == "" {
		return nil
	}
	return r.get(name, new(corev1.ConfigMap))
}

func addAll[T any, P interface {
	*T
	manifest.Object
}](r *clusterReader, items []T) {
	for i := range items {
		r.set.Objects = append(r.set.Objects, P(&items[i]))
	}
}

// readNamed reads the Secrets and ConfigMaps that are named.
func (r *clusterReader) readNamed(options translate.Options) error {
	now := time.Now()
	f := newFeed(options, discard{})
	if err := f.apply(r.set.Objects, nil, now, now); err != nil {
		return err
	}
	for name := range f.result.Secrets {
		if err := r.get(name, new(corev1.Secret)); err != nil {
			return err
		}
	}
	for name := range f.result.Bundles {
		if f.configMaps.all[name] != nil {
			continue // that of --configmap
		}
		if err := r.get(name, new(corev1.ConfigMap)); err != nil {
			return err
		}
	}
	return nil
}

// get reads one object into o, if it exists.
func (r *clusterReader) get(name types.NamespacedName, o manifest.Object) error {
	err := r.client.Get(r.ctx, name, o.(client.Object))
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err == nil {
		r.set.Objects = append(r.set.Objects, o)
	}
	return err
}

// discard takes every update.
type discard struct{}

func (discard) Publish(snapshot.Update) error { return nil }
