package controllers

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cardea-dev/cardea/api/gateway"
	"github.com/cardea-dev/cardea/api/v1alpha1"
)

// A kind is one of the kinds that are watched.
type kind string

const (
	ingressKind kind = "Ingress"
	classKind   kind = "IngressClass"
	paramsKind  kind = v1alpha1.Kind
	grantKind   kind = gateway.Kind
	serviceKind kind = "Service"
	sliceKind   kind = "EndpointSlice"
	secretKind  kind = "Secret"
	// configKind is the one ConfigMap that the Options name, bundleKind the metadata of
	// all.
	configKind kind = "ConfigMap"
	bundleKind kind = "ConfigMap metadata"
)

// watchedKinds are watched always, configKind if the Options name a ConfigMap.
var watchedKinds = []kind{classKind, paramsKind, grantKind, ingressKind, serviceKind, sliceKind, secretKind, bundleKind}

// byMetadata reports whether objects of the kind are watched by their metadata, and
// those alone looked at that are named.
func (k kind) byMetadata() bool { return k == secretKind || k == bundleKind }

type objectKey struct {
	kind kind
	name types.NamespacedName
}

// A change is the last state of an object that was seen.
type change struct {
	// object is nil once the object is gone. It is shared with the informer's
	// cache: nobody may write to it.
	object client.Object
	// seen is when the oldest state was seen that nobody has looked at.
	seen time.Time
}

// changes is the mailbox between the informers and the loop. It holds the last
// state of each object only, so it is never larger than the cluster.
type changes struct {
	wake chan struct{}

	mu sync.Mutex
	// session is the current one; what an earlier one still says is ignored.
	session view
	synced  bool
	waiting map[objectKey]change
	// relevant holds the Secrets and ConfigMaps that the loop wants to hear of: of all
	// others not even the change is kept.
	relevant map[objectKey]struct{}
	// files is what files of the operator say, nil if nobody has said so since.
	files *operatorFiles
}

func newChanges() *changes {
	return &changes{
		wake:     make(chan struct{}, 1),
		waiting:  make(map[objectKey]change),
		relevant: make(map[objectKey]struct{}),
	}
}

// begin makes s the session that is listened to. It will list everything.
func (c *changes) begin(s view) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session, c.synced = s, false
	clear(c.waiting)
}

// finish says that everything which s lists at its beginning was put.
func (c *changes) finish(s view) {
	c.mu.Lock()
	if c.session == s {
		c.synced = true
	}
	c.mu.Unlock()
	c.notify()
}

// put takes in the state of an object, nil for one that is gone.
func (c *changes) put(s view, key objectKey, object client.Object, now time.Time) {
	c.mu.Lock()
	_, relevant := c.relevant[key]
	if c.session != s || key.kind.byMetadata() && !relevant {
		c.mu.Unlock()
		return
	}
	if earlier, ok := c.waiting[key]; ok {
		now = earlier.seen
	}
	c.waiting[key] = change{object, now}
	c.mu.Unlock()
	c.notify()
}

// take returns what is waiting, the session it comes from, and whether that one
// has listed everything.
func (c *changes) take() (waiting map[objectKey]change, from view, synced bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	waiting = c.waiting
	if len(waiting) > 0 {
		c.waiting = make(map[objectKey]change)
	} else {
		waiting = nil
	}
	return waiting, c.session, c.synced
}

// listen sets whether changes of a Secret or ConfigMap are kept. One that wants to know
// the state of one listens first and looks then, so that nothing is missed.
func (c *changes) listen(key objectKey, on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if on {
		c.relevant[key] = struct{}{}
	} else {
		delete(c.relevant, key)
	}
}

func (c *changes) notify() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}
