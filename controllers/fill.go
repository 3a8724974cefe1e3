package controllers

import (
	"context"
	"errors"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"github.com/cardea-dev/cardea/controllers/secrets"
)

const (
	// readsAtATime bounds the GETs under way.
	readsAtATime = 32
	readTimeout  = 10 * time.Second
	// Many Secrets are had faster by listing all that are of type
	// kubernetes.io/tls, if at least every fourth Secret of the cluster is wanted.
	listFrom  = 100
	listShare = 4
	listPage  = 250
)

// A contentReader reads the content of objects of one kind from the API server itself,
// past every cache, in the form of Secrets.
type contentReader interface {
	get(ctx context.Context, name types.NamespacedName) (*corev1.Secret, error)
}

// A contentLister can also read many at once.
type contentLister interface {
	// list calls each for every Secret of type kubernetes.io/tls.
	list(ctx context.Context, each func(*corev1.Secret)) error
}

// A read is the end of an attempt to read one object.
type read struct {
	attempt
	// content is nil if there is none, or if err is set.
	content *corev1.Secret
	err     error
	// missed says that the listing did not have it, which means nothing: it may be
	// of another type.
	missed bool
}

// readOne reads one object.
func readOne(ctx context.Context, from contentReader, a attempt) read {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	content, err := from.get(ctx, a.name)
	if apierrors.IsNotFound(err) {
		return read{attempt: a}
	}
	return read{attempt: a, content: content, err: err}
}

// readMany reads Secrets by listing, and calls end once for each attempt.
func readMany(ctx context.Context, from contentLister, attempts []attempt, end func(read)) {
	open := make(map[types.NamespacedName]attempt, len(attempts))
	for _, a := range attempts {
		open[a.name] = a
	}
	err := from.list(ctx, func(secret *corev1.Secret) {
		name := types.NamespacedName{Namespace: secret.Namespace, Name: secret.Name}
		if a, ok := open[name]; ok {
			delete(open, name)
			end(read{attempt: a, content: secret})
		}
	})
	for _, a := range open {
		end(read{attempt: a, err: err, missed: err == nil})
	}
}

// definite reports whether err is the answer of an API server that works, about
// this one object, and not the lack of one.
func definite(err error) bool {
	status := apierrors.APIStatus(nil)
	if !errors.As(err, &status) {
		return false
	}
	return !apierrors.IsServiceUnavailable(err) && !apierrors.IsTooManyRequests(err) &&
		!apierrors.IsTimeout(err) && !apierrors.IsServerTimeout(err) && !apierrors.IsUnauthorized(err)
}

// apiSecrets is the contentReader of the Secrets of a cluster.
type apiSecrets struct {
	client typedcorev1.SecretsGetter
	// namespaces are those that may be read; none means all.
	namespaces []string
}

// apiConfigMaps is the contentReader of its ConfigMaps.
type apiConfigMaps struct {
	client typedcorev1.ConfigMapsGetter
}

// newContentReaders returns the readers of the Secrets of some namespaces, and of
// ConfigMaps.
func newContentReaders(config *rest.Config, namespaces []string) (ofSecrets, ofConfigMaps contentReader, err error) {
	config = rest.CopyConfig(config)
	// Protobuf carries the data as it is, JSON in base64.
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	client, err := typedcorev1.NewForConfig(config)
	if err != nil {
		return nil, nil, err
	}
	return apiSecrets{client, namespaces}, apiConfigMaps{client}, nil
}

func (a apiConfigMaps) get(ctx context.Context, name types.NamespacedName) (*corev1.Secret, error) {
	c, err := a.client.ConfigMaps(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return secrets.FromConfigMap(c), nil
}

// get does not ask for what nobody watches, even if it were allowed: a change of it
// would not be seen.
func (a apiSecrets) get(ctx context.Context, name types.NamespacedName) (*corev1.Secret, error) {
	if len(a.namespaces) > 0 && !slices.Contains(a.namespaces, name.Namespace) {
		return nil, apierrors.NewForbidden(corev1.Resource("secrets"), name.Name, errors.New("the Secrets of its namespace are not read"))
	}
	secret, err := a.client.Secrets(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
	if err != nil {
		return nil, err // not the empty object that comes with it
	}
	return secret, nil
}

func (a apiSecrets) list(ctx context.Context, each func(*corev1.Secret)) error {
	if len(a.namespaces) == 0 {
		return a.listIn(ctx, metav1.NamespaceAll, each)
	}
	for _, namespace := range a.namespaces {
		if err := a.listIn(ctx, namespace, each); err != nil {
			return err
		}
	}
	return nil
}

func (a apiSecrets) listIn(ctx context.Context, namespace string, each func(*corev1.Secret)) error {
	options := metav1.ListOptions{FieldSelector: "type=" + string(corev1.SecretTypeTLS), Limit: listPage}
	for {
		page, err := a.client.Secrets(namespace).List(ctx, options)
		if err != nil {
			return err
		}
		for i := range page.Items {
			each(&page.Items[i])
		}
		if options.Continue = page.Continue; options.Continue == "" {
			return nil
		}
	}
}
