// Package secrets holds, per name, the last content of a referenced Secret that
// parsed: of its certificate and key, and of its authorities, each by itself and
// only if some Ingress names the Secret for it ([Store.Want]). ConfigMaps that are
// named for authorities have a store of their own, which reads them as Secrets
// ([FromConfigMap]).
//
// A [Store] is a pure state machine: whoever reads the cluster tells it what was
// read ([Store.Update], [Store.Unreadable]) and asks it what to serve
// ([Store.State]). It does no I/O, has no clock and keeps no PEM. It holds state
// that cannot be rebuilt from the cluster, the last good content, so it lives as
// long as the process. It is not safe for concurrent use.
package secrets

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cardea-dev/cardea/controllers/translate"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// DefaultLastGoodAfterDelete is how long the certificate of a deleted Secret is
// served by default.
const DefaultLastGoodAfterDelete = time.Hour

// A Store holds the state of the referenced Secrets, or ConfigMaps.
type Store struct {
	words       *words
	parsed      parsed
	afterDelete time.Duration
	entries     map[types.NamespacedName]*entry
	// due holds the names whose state changes by time alone, and when. Few do at
	// any time, so looking through it is cheap.
	due map[types.NamespacedName]time.Time
}

// words are what a kind of objects is called, and what is wrong with one of it.
type words struct {
	kind                          string
	notFound, invalid, unreadable translate.Reason
}

var (
	ofSecrets    = words{"Secret", translate.SecretNotFound, translate.SecretInvalid, translate.SecretUnreadable}
	ofConfigMaps = words{"ConfigMap", translate.ConfigMapNotFound, translate.ConfigMapInvalid, translate.ConfigMapUnreadable}
)

// New returns an empty store of Secrets. It serves the certificate of a deleted Secret
// for another lastGoodAfterDelete; 0 ends it at once.
func New(lastGoodAfterDelete time.Duration) *Store {
	return newStore(&ofSecrets, lastGoodAfterDelete)
}

// NewConfigMaps returns an empty store of ConfigMaps, which hold authorities alone
// ([translate.ForAuthorities]). lastGoodAfterDelete is as in [New].
func NewConfigMaps(lastGoodAfterDelete time.Duration) *Store {
	return newStore(&ofConfigMaps, lastGoodAfterDelete)
}

func newStore(words *words, lastGoodAfterDelete time.Duration) *Store {
	return &Store{
		words:       words,
		afterDelete: lastGoodAfterDelete,
		entries:     make(map[types.NamespacedName]*entry),
		due:         make(map[types.NamespacedName]time.Time),
	}
}

// SetLastGoodAfterDelete changes what [New] was given. It counts for the Secrets
// that are gone already.
func (s *Store) SetLastGoodAfterDelete(d time.Duration) {
	if s.afterDelete == d {
		return
	}
	s.afterDelete = d
	for name, e := range s.entries {
		if at := e.wake(d); at.IsZero() {
			delete(s.due, name)
		} else {
			s.due[name] = at
		}
	}
}

// An entry is what is known of one Secret.
type entry struct {
	words  *words
	origin snapshot.Origin
	// bundle is the content hash of what was last read, "" if that does not exist.
	bundle string
	// good is the last content that parsed and has begun to be valid; next is a
	// newer one that waits for its notBefore.
	good, next *snapshot.Certificate
	// reason and problem say why the content last read is not good.
	reason  translate.Reason
	problem string
	// unreadable is why the last attempt to read failed, "" if it did not.
	unreadable string
	// deleted is when the Secret was first seen to be gone.
	deleted time.Time

	// purpose says which halves are wanted: the one above, which is the certificate
	// and key, and trust.
	purpose translate.Purpose
	trust   *trust // nil if it is not wanted
}

// Want says what the Secret is named for; until it is called that is its
// certificate. What it is not named for any more is forgotten. again says that this
// is a change: the Secret has to be read once more, because what it is now named for
// was not kept when it was.
func (s *Store) Want(name types.NamespacedName, purpose translate.Purpose) (again bool) {
	e := s.entry(name)
	if e.purpose == purpose {
		return false
	}
	e.purpose = purpose
	if purpose&translate.ForCertificate == 0 {
		e.dropPair()
	}
	if purpose&translate.ForAuthorities == 0 {
		e.trust = nil
	} else if e.trust == nil {
		e.trust = newTrust(e.words)
	}
	return true
}

// Update takes in what was read of the Secret; nil says that it does not exist.
// Content that was seen before is not parsed again and keeps its certificate, by
// identity.
func (s *Store) Update(name types.NamespacedName, secret *corev1.Secret, now time.Time) {
	e := s.entry(name)
	e.unreadable = ""
	if secret == nil {
		e.remove(now)
	} else {
		e.read(secret, now, &s.parsed)
	}
	s.settle(name, e, now)
}

// UpdateAll is [Store.Update] for each of several Secrets, none of which is nil. It
// parses them on all cores: a certificate with its key takes some 30 µs.
func (s *Store) UpdateAll(all map[types.NamespacedName]*corev1.Secret, now time.Time) {
	type job struct {
		*entry
		secret *corev1.Secret
	}
	jobs := make([]job, 0, len(all))
	for name, secret := range all {
		jobs = append(jobs, job{s.entry(name), secret})
	}
	var next atomic.Int64
	var parsing sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(jobs)) {
		parsing.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(jobs); i = int(next.Add(1)) - 1 {
				// Entries know nothing of each other.
				jobs[i].unreadable = ""
				jobs[i].read(jobs[i].secret, now, &s.parsed)
			}
		})
	}
	parsing.Wait()
	for name := range all {
		s.settle(name, s.entries[name], now)
	}
}

// Unreadable takes in that the Secret could not be read; problem says why, for
// the owners of the Ingresses that name it. What was good stays in service.
func (s *Store) Unreadable(name types.NamespacedName, problem string, now time.Time) {
	e := s.entry(name)
	e.unreadable = problem
	s.settle(name, e, now)
}

// State returns what is known of the Secret at the time now: nothing but
// SecretNotFound for one that was never read.
func (s *Store) State(name types.NamespacedName, now time.Time) translate.Secret {
	e, ok := s.entries[name]
	if !ok {
		e = newEntry(s.words, name)
	}
	s.settle(name, e, now)
	return e.state(s.afterDelete, now)
}

// Due returns the names whose state has changed by time alone since they were
// last looked at.
func (s *Store) Due(now time.Time) []types.NamespacedName {
	var names []types.NamespacedName
	for name, at := range s.due {
		if !at.After(now) {
			names = append(names, name)
		}
	}
	return names
}

// Next returns when the next state changes by time alone; zero if none does. It
// is not after now while [Store.Due] has names that were not looked at.
func (s *Store) Next() time.Time {
	var next time.Time
	for _, at := range s.due {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return next
}

// Retain forgets every Secret for which keep returns false: the last good
// content of a Secret that no Ingress names any more is gone.
func (s *Store) Retain(keep func(types.NamespacedName) bool) {
	for name := range s.entries {
		if !keep(name) {
			delete(s.entries, name)
			delete(s.due, name)
		}
	}
}

func (s *Store) entry(name types.NamespacedName) *entry {
	e, ok := s.entries[name]
	if !ok {
		e = newEntry(s.words, name)
		s.entries[name] = e
	}
	return e
}

func newEntry(words *words, name types.NamespacedName) *entry {
	e := &entry{
		words:   words,
		origin:  snapshot.Origin{Kind: words.kind, Namespace: name.Namespace, Name: name.Name},
		purpose: translate.ForCertificate,
	}
	e.dropPair()
	return e
}

// dropPair forgets the certificate and key.
func (e *entry) dropPair() {
	e.bundle, e.good, e.next = "", nil, nil
	e.reason, e.problem = translate.SecretNotFound, notFound
}

const notFound = "it does not exist"

// settle lets the time pass that has passed, and notes when to look again.
func (s *Store) settle(name types.NamespacedName, e *entry, now time.Time) {
	e.pass(s.afterDelete, now)
	if at := e.wake(s.afterDelete); at.IsZero() {
		delete(s.due, name)
	} else {
		s.due[name] = at
	}
}

// read takes in content that exists.
func (e *entry) read(secret *corev1.Secret, now time.Time, parsed *parsed) {
	e.origin.UID = string(secret.UID)
	e.deleted = time.Time{}
	if e.purpose&translate.ForCertificate != 0 {
		e.readPair(secret, now)
	}
	if e.purpose&translate.ForAuthorities != 0 {
		e.trust.read(e.origin, secret, parsed)
	}
}

func (e *entry) readPair(secret *corev1.Secret, now time.Time) {
	certPEM, keyPEM := secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey]
	bundle := snapshot.BundleDigest(certPEM, keyPEM)
	if bundle == e.bundle {
		return
	}
	e.bundle = bundle

	cert, reason, problem := e.parse(secret, certPEM, keyPEM, bundle)
	switch {
	case cert == nil:
		e.reason, e.problem = reason, problem
		return
	}
	e.bundle = cert.Bundle // the same text, kept once
	switch {
	case now.Before(cert.NotBefore):
		e.next = cert
		e.reason = translate.CertificateNotYetValid
		e.problem = fmt.Sprintf("its certificate is valid from %s on", stamp(cert.NotBefore))
	case e.good != nil && e.good != cert && expired(cert, now) && !expired(e.good, now):
		// The owner means well, and yet every client would refuse it.
		e.reason = translate.SecretInvalid
		e.problem = fmt.Sprintf("its certificate expired on %s", stamp(cert.NotAfter))
	default:
		e.good, e.next = cert, nil
		e.reason, e.problem = "", ""
	}
}

// parse returns the certificate in the content, the one held already if it is
// the same, or why there is none.
func (e *entry) parse(secret *corev1.Secret, certPEM, keyPEM []byte, bundle string) (*snapshot.Certificate, translate.Reason, string) {
	switch {
	case e.good != nil && e.good.Bundle == bundle:
		return e.good, "", ""
	case e.next != nil && e.next.Bundle == bundle:
		return e.next, "", ""
	case len(certPEM) == 0 && len(keyPEM) == 0 && secret.Type != corev1.SecretTypeTLS:
		// A Secret of another type that holds a pair is served: cert-manager and
		// people create them, and the type says nothing about who may read it.
		return nil, translate.SecretWrongType, fmt.Sprintf("it is of type %q and holds no tls.crt and tls.key", secret.Type)
	}
	cert, err := snapshot.ParseCertificate(e.origin, certPEM, keyPEM)
	if err != nil {
		return nil, translate.SecretInvalid, err.Error()
	}
	return cert, "", ""
}

// remove takes in that the Secret does not exist.
func (e *entry) remove(now time.Time) {
	if e.deleted.IsZero() {
		e.deleted = now
	}
	e.origin.UID, e.bundle, e.next = "", "", nil
	e.reason, e.problem = translate.SecretNotFound, notFound
	if e.trust != nil {
		e.trust.remove()
	}
}

// pass lets what waited begin and what was kept end.
func (e *entry) pass(afterDelete time.Duration, now time.Time) {
	if e.next != nil && !now.Before(e.next.NotBefore) {
		e.good, e.next = e.next, nil
		if e.reason == translate.CertificateNotYetValid {
			e.reason, e.problem = "", ""
		}
	}
	if end := e.end(afterDelete); !end.IsZero() && !now.Before(end) {
		e.good = nil
	}
	if end := e.trustEnd(afterDelete); e.trust != nil && !end.IsZero() && !now.Before(end) {
		e.trust.good, e.trust.original = nil, nil
	}
}

// end is when the last good content ends; zero if what is served is the current
// content (an expired certificate goes on being served then: a client may accept
// it, and the owner is told).
func (e *entry) end(afterDelete time.Duration) time.Time {
	if e.good == nil || e.reason == "" {
		return time.Time{}
	}
	end := e.good.NotAfter
	if !e.deleted.IsZero() {
		if at := e.deleted.Add(afterDelete); at.Before(end) {
			end = at
		}
	}
	return end
}

// wake is when time alone changes the entry next; zero if never.
func (e *entry) wake(afterDelete time.Duration) time.Time {
	at := e.end(afterDelete)
	if e.next != nil {
		at = earlier(at, e.next.NotBefore)
	}
	return earlier(at, e.trustEnd(afterDelete))
}

// earlier returns the earlier one of two times, of which zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func (e *entry) state(afterDelete time.Duration, now time.Time) translate.Secret {
	s := translate.Secret{
		Origin:      e.origin,
		Certificate: e.good,
		Reason:      e.reason,
		Problem:     e.problem,
		LastGood:    e.good != nil && e.reason != "",
	}
	// A problem of content that was read says more than that it cannot be read now.
	if e.unreadable != "" && (e.reason == "" || e.bundle == "") {
		s.Reason, s.Problem = translate.SecretUnreadable, e.unreadable
		s.LastGood = e.good != nil
	}
	if e.next != nil {
		s.Pending = e.next.NotBefore
	}
	s.Trust = e.trust.state(e.words, e.unreadable)
	return s
}

func expired(c *snapshot.Certificate, now time.Time) bool { return now.After(c.NotAfter) }

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
