// Package translate turns Kubernetes objects into what the data plane is told to
// serve. It is pure and total: it never fails, does no I/O and never writes to
// its input. Whatever is wrong in an object becomes a [Verdict] on that object
// and harms nothing else.
package translate

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

type Translator struct{ opts Options }

func New(opts Options) *Translator { return &Translator{opts: opts.withDefaults()} }

func (t *Translator) SetIngress(o *networkingv1.Ingress)            {}
func (t *Translator) DeleteIngress(name types.NamespacedName)       {}
func (t *Translator) SetClass(o *networkingv1.IngressClass)         {}
func (t *Translator) DeleteClass(name string)                       {}
func (t *Translator) SetService(o *corev1.Service)                  {}
func (t *Translator) DeleteService(name types.NamespacedName)       {}
func (t *Translator) SetSlice(o *discoveryv1.EndpointSlice)         {}
func (t *Translator) DeleteSlice(name types.NamespacedName)         {}
func (t *Translator) SetSecret(name types.NamespacedName, s Secret) {}
func (t *Translator) DeleteSecret(name types.NamespacedName)        {}
func (t *Translator) SetDefaultCertificate(c *snapshot.Certificate) { t.opts.DefaultCertificate = c }

// Translate ...
func (t *Translator) Translate(now time.Time) Result { return Result{Spec: &snapshot.Spec{}} }

// Translate ...
func (o Objects) Translate(opts Options, now time.Time) Result { return New(opts).Translate(now) }
