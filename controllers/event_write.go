package controllers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"github.com/cardea-dev/cardea/api/v1alpha1"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// eventStore is the API server as far as Events need it.
type eventStore interface {
	Get(ctx context.Context, namespace, name string) (*corev1.Event, error)
	Create(ctx context.Context, event *corev1.Event) (*corev1.Event, error)
	Update(ctx context.Context, event *corev1.Event) (*corev1.Event, error)
}

// written is an Event as the API server last returned it.
type written struct {
	window time.Time
	event  *corev1.Event
}

// The annotations by which the replicas tell each other what an Event names.
const (
	clientsAnnotation = "cardea.dev/event-clients"
	hostsAnnotation   = "cardea.dev/event-hosts"
	moreMark          = "…"
)

// write writes what is pending for key and sets when more may be written. It
// reports whether the API server gave an answer.
func (e *Events) write(ctx context.Context, key subject, p *pending, now time.Time) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := e.upsert(ctx, key, p, now)
	switch {
	case err == nil:
		p.report, p.handshake = nil, nil
		p.next = now.Add(eventPause)
	case apierrors.IsForbidden(err), apierrors.IsNotFound(err), apierrors.IsInvalid(err):
		// A namespace that is being deleted takes no Events, and a second try would
		// not be allowed either.
		e.cfg.Logger.Info("event refused", "object", key.object.String(), "reason", key.reason, "error", err.Error())
		p.report, p.handshake, p.written = nil, nil, nil
		p.next = now.Add(eventPause)
	default:
		e.cfg.Logger.V(1).Info("event not written; will retry", "object", key.object.String(), "reason", key.reason, "error", err.Error())
		p.written = nil
		p.next = now.Add(eventRetry)
		return false
	}
	return true
}

// upsert creates the Event of the window, or adds to it if it exists.
func (e *Events) upsert(ctx context.Context, key subject, p *pending, now time.Time) error {
	window := now.Truncate(eventWindow)
	name := eventName(key, window)
	namespace := eventNamespace(key.object)

	var current *corev1.Event
	if p.written != nil && p.written.window.Equal(window) {
		current = p.written.event
	} else if p.report != nil && now.Sub(window) < eventPause {
		// Another replica may have told the same just before the window began.
		before, err := e.store.Get(ctx, namespace, eventName(key, window.Add(-eventWindow)))
		if err == nil && told(before, p, now) {
			return nil
		}
	}
	for range 4 {
		var err error
		var event *corev1.Event
		if current == nil {
			event, err = e.store.Create(ctx, e.compose(nil, key, p, name, now))
		} else {
			if told(current, p, now) || e.toldByOther(current, p) {
				return nil
			}
			event, err = e.store.Update(ctx, e.compose(current, key, p, name, now))
		}
		switch {
		case err == nil:
			p.written = &written{window, event}
			return nil
		case apierrors.IsAlreadyExists(err), apierrors.IsConflict(err):
			if current, err = e.store.Get(ctx, namespace, name); err != nil && !apierrors.IsNotFound(err) {
				return err
			} else if err != nil {
				current = nil
			}
		case current != nil && apierrors.IsNotFound(err):
			current = nil
		default:
			return err
		}
	}
	return apierrors.NewConflict(corev1.Resource("events"), name, nil)
}

// told reports whether event says, since less than a minute, just what p would.
func told(event *corev1.Event, p *pending, now time.Time) bool {
	return p.handshake == nil && p.report != nil &&
		event.Message == cut(p.report.message, maxMessage) && event.Type == eventType(p) &&
		now.Sub(event.LastTimestamp.Time) < eventPause
}

// toldByOther reports whether another replica has told in this window what p would:
// what all replicas judge alike is not counted once by each, whenever they started.
func (e *Events) toldByOther(event *corev1.Event, p *pending) bool {
	return event.ReportingInstance != e.cfg.Instance && p.handshake == nil && p.report != nil &&
		event.Message == cut(p.report.message, maxMessage) && event.Type == eventType(p)
}

// compose returns the Event to write: a new one, or current with p added to it.
func (e *Events) compose(current *corev1.Event, key subject, p *pending, name string, now time.Time) *corev1.Event {
	event := &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: eventNamespace(key.object), Name: name},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: apiVersion(key.object.Kind),
			Kind:       key.object.Kind,
			Namespace:  key.object.Namespace,
			Name:       key.object.Name,
			UID:        types.UID(key.object.UID),
		},
		Reason:              key.reason,
		Source:              corev1.EventSource{Component: e.cfg.Controller},
		FirstTimestamp:      metav1.NewTime(now),
		ReportingController: e.cfg.Controller,
		ReportingInstance:   e.cfg.Instance,
	}
	if current != nil {
		event = current.DeepCopy()
	}
	event.Type = eventType(p)
	event.LastTimestamp = metav1.NewTime(now)
	if p.handshake == nil {
		event.Count++
		event.Message = cut(p.report.message, maxMessage)
		return event
	}

	sum := *p.handshake
	sum.count += int(event.Count)
	sum.hosts = decode(event.Annotations[hostsAnnotation])
	sum.hosts.merge(p.handshake.hosts)
	sum.clients = decode(event.Annotations[clientsAnnotation])
	sum.clients.merge(p.handshake.clients)
	event.Count = int32(min(sum.count, 1<<31-1))
	event.Annotations = map[string]string{
		hostsAnnotation:   sum.hosts.encode(),
		clientsAnnotation: sum.clients.encode(),
	}
	event.Message = sum.message(now)
	return event
}

func eventType(p *pending) string {
	if p.handshake == nil && !p.report.warning {
		return corev1.EventTypeNormal
	}
	return corev1.EventTypeWarning
}

// eventName is the same in every replica, and another one in the next window.
func eventName(key subject, window time.Time) string {
	sum := sha256.Sum256([]byte(key.object.UID + "\x00" + key.reason + "\x00" + strconv.FormatInt(window.Unix(), 10)))
	prefix := key.object.Name
	if len(prefix) > 200 { // a name has at most 253 bytes
		prefix = strings.TrimRight(prefix[:200], "-.")
	}
	return prefix + "." + hex.EncodeToString(sum[:8])
}

// eventNamespace is where the Events of an object are: those of objects without
// a namespace are in "default".
func eventNamespace(object snapshot.Origin) string {
	if object.Namespace == "" {
		return metav1.NamespaceDefault
	}
	return object.Namespace
}

// apiVersion is the version in which we read objects of a kind.
func apiVersion(kind string) string {
	switch kind {
	case "Ingress", "IngressClass":
		return "networking.k8s.io/v1"
	case "EndpointSlice":
		return "discovery.k8s.io/v1"
	case v1alpha1.Kind:
		return v1alpha1.GroupVersion.String()
	}
	return "v1"
}

func (x examples) encode() string {
	names := x.names
	if x.more {
		names = append(names[:len(names):len(names)], moreMark)
	}
	return strings.Join(names, ",")
}

func decode(s string) (x examples) {
	for name := range strings.SplitSeq(s, ",") {
		if name == moreMark {
			x.more = true
		} else {
			x.add(name)
		}
	}
	return x
}

// apiEvents is the eventStore of a cluster.
type apiEvents struct{ client typedcorev1.EventsGetter }

func newEventStore(config *rest.Config) (eventStore, error) {
	config = rest.CopyConfig(config)
	config.QPS = -1 // the writer has a budget of its own
	client, err := typedcorev1.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return apiEvents{client}, nil
}

func (a apiEvents) Get(ctx context.Context, namespace, name string) (*corev1.Event, error) {
	return a.client.Events(namespace).Get(ctx, name, metav1.GetOptions{})
}

func (a apiEvents) Create(ctx context.Context, event *corev1.Event) (*corev1.Event, error) {
	return a.client.Events(event.Namespace).Create(ctx, event, metav1.CreateOptions{})
}

func (a apiEvents) Update(ctx context.Context, event *corev1.Event) (*corev1.Event, error) {
	return a.client.Events(event.Namespace).Update(ctx, event, metav1.UpdateOptions{})
}
