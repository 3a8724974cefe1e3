package secrets

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cardea-dev/cardea/controllers/translate"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// TestTrust tells one story a case, as TestStore does, of the other half. Of ConfigMaps
// it is the same story in their words.
func TestTrust(t *testing.T) {
	certificate := func(cn string) []byte {
		cert, _ := pair(t, cn, 0, day)
		return cert
	}
	opaque := func(data map[string][]byte) *corev1.Secret {
		s := secret(nil, nil)
		s.Type, s.Data = corev1.SecretTypeOpaque, data
		return s
	}
	a := opaque(map[string][]byte{"ca.crt": certificate("a")})
	b := opaque(map[string][]byte{"ca.crt": certificate("b")})
	garbage := opaque(map[string][]byte{"ca.crt": []byte("garbage")})
	emptyList := opaque(map[string][]byte{"ca.crt": certificate("a"), "ca.crl": {}})
	pairOnly := secret(pair(t, "a", 0, day))

	type want struct {
		CN       string
		Reason   translate.Reason
		Problem  string
		LastGood bool
		Next     time.Duration
	}
	type step struct {
		at         time.Duration
		read       *corev1.Secret
		gone       bool
		unreadable string
		want       want
	}
	const missing = "it does not exist"
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"valid content is used", []step{
			{want: want{Reason: translate.SecretNotFound, Problem: missing}},
			{read: a, want: want{CN: "a"}},
			{read: b, want: want{CN: "b"}},
		}},
		{"invalid content keeps the last good for as long as it is there", []step{
			{read: a, want: want{CN: "a"}},
			{read: garbage, want: want{CN: "a", Reason: translate.SecretInvalid, Problem: "ca.crt holds no PEM", LastGood: true}},
			{at: 1000 * day, want: want{CN: "a", Reason: translate.SecretInvalid, Problem: "ca.crt holds no PEM", LastGood: true}},
			{read: a, want: want{CN: "a"}},
		}},
		{"invalid from the start is nothing", []step{
			{read: garbage, want: want{Reason: translate.SecretInvalid, Problem: "ca.crt holds no PEM"}},
			{read: pairOnly, want: want{Reason: translate.SecretInvalid, Problem: "ca.crt is empty"}},
		}},
		{"a list without content is no list that revokes nothing", []step{
			{read: a, want: want{CN: "a"}},
			{read: emptyList, want: want{CN: "a", Reason: translate.SecretInvalid, Problem: "ca.crl is empty", LastGood: true}},
		}},
		{"deleted keeps the last good for a while", []step{
			{read: a, want: want{CN: "a"}},
			{at: day, gone: true, want: want{CN: "a", Reason: translate.SecretNotFound, Problem: missing, LastGood: true, Next: day + time.Hour}},
			{at: day + time.Hour, want: want{Reason: translate.SecretNotFound, Problem: missing}},
			{at: 2 * day, read: a, want: want{CN: "a"}},
		}},
		{"deleted and created again", []step{
			{read: a, want: want{CN: "a"}},
			{gone: true, want: want{CN: "a", Reason: translate.SecretNotFound, Problem: missing, LastGood: true, Next: time.Hour}},
			{read: a, want: want{CN: "a"}},
			{at: 2 * time.Hour, want: want{CN: "a"}},
		}},
		{"unreadable keeps what was read", []step{
			{unreadable: "forbidden", want: want{Reason: translate.SecretUnreadable, Problem: "forbidden"}},
			{read: a, want: want{CN: "a"}},
			{unreadable: "forbidden", want: want{CN: "a", Reason: translate.SecretUnreadable, Problem: "forbidden", LastGood: true}},
			{read: b, want: want{CN: "b"}},
		}},
	} {
		tell := func(t *testing.T, store *Store, read func(*corev1.Secret) *corev1.Secret, word func(translate.Reason) translate.Reason) {
			store.Want(shop, translate.ForAuthorities)
			for i, step := range c.steps {
				now := epoch.Add(step.at)
				switch {
				case step.read != nil:
					store.Update(shop, read(step.read), now)
				case step.gone:
					store.Update(shop, nil, now)
				case step.unreadable != "":
					store.Unreadable(shop, step.unreadable, now)
				}
				state := store.State(shop, now)
				got := want{Reason: state.Trust.Reason, Problem: state.Trust.Problem, LastGood: state.Trust.LastGood}
				if state.Trust.Authorities != nil {
					got.CN = state.Trust.Authorities.Certificates[0].Subject.CommonName
				}
				if next := store.Next(); !next.IsZero() {
					got.Next = next.Sub(epoch)
				}
				step.want.Reason = word(step.want.Reason)
				if diff := cmp.Diff(step.want, got); diff != "" {
					t.Errorf("step %d: Trust(%v) (-want +got):\n%s", i, step.at, diff)
				}
				if state.Certificate != nil || state.LastGood {
					t.Errorf("step %d: State holds a certificate that nobody wants", i)
				}
			}
		}
		t.Run(c.name, func(t *testing.T) {
			tell(t, New(time.Hour), func(s *corev1.Secret) *corev1.Secret { return s }, func(r translate.Reason) translate.Reason { return r })
		})
		t.Run(c.name+" (ConfigMap)", func(t *testing.T) {
			tell(t, NewConfigMaps(time.Hour), asConfigMap, func(r translate.Reason) translate.Reason { return configMapWords[r] })
		})
	}
}

var configMapWords = map[translate.Reason]translate.Reason{
	translate.SecretNotFound:   translate.ConfigMapNotFound,
	translate.SecretInvalid:    translate.ConfigMapInvalid,
	translate.SecretUnreadable: translate.ConfigMapUnreadable,
}

// asConfigMap returns what is read of a ConfigMap that holds what s does.
func asConfigMap(s *corev1.Secret) *corev1.Secret {
	c := &corev1.ConfigMap{ObjectMeta: s.ObjectMeta, Data: map[string]string{}}
	for key, value := range s.Data {
		c.Data[key] = string(value)
	}
	return FromConfigMap(c)
}

// Of a ConfigMap nothing is read but authorities, whichever map they are in.
func TestFromConfigMap(t *testing.T) {
	c := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "ca", UID: "uid", ResourceVersion: "7", Labels: map[string]string{"a": "b"}},
		Data:       map[string]string{"ca.crt": "authorities", "tls.key": "no key belongs here", "other": "x"},
		BinaryData: map[string][]byte{"ca.crl": []byte("lists"), "more": []byte("y")},
	}
	want := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "ca", UID: "uid", ResourceVersion: "7"},
		Data:       map[string][]byte{"ca.crt": []byte("authorities"), "ca.crl": []byte("lists")},
	}
	if diff := cmp.Diff(want, FromConfigMap(c)); diff != "" {
		t.Errorf("FromConfigMap (-want +got):\n%s", diff)
	}
}

// Authorities of the same content are held once, however many objects they are in, and
// not at all when nobody holds them.
func TestSameAuthoritiesAreShared(t *testing.T) {
	store := NewConfigMaps(time.Hour)
	ca, _ := pair(t, "ca", 0, day)
	names := make([]types.NamespacedName, 3)
	for i := range names {
		names[i] = types.NamespacedName{Namespace: fmt.Sprint("n", i), Name: "ca"}
		store.Want(names[i], translate.ForAuthorities)
		store.Update(names[i], FromConfigMap(&corev1.ConfigMap{Data: map[string]string{"ca.crt": string(ca)}}), epoch)
	}
	first := store.State(names[0], epoch).Trust.Authorities
	for _, name := range names[1:] {
		got := store.State(name, epoch).Trust.Authorities
		if got.Pool != first.Pool || &got.Certificates[0] != &first.Certificates[0] || got.Digest != first.Digest {
			t.Errorf("%s has authorities of its own, want those of %s", name, names[0])
		}
		if want := (snapshot.Origin{Kind: "ConfigMap", Namespace: name.Namespace, Name: "ca"}); got.Origin != want {
			t.Errorf("authorities of %s are from %v, want %v", name, got.Origin, want)
		}
	}

	// The first of them goes, and the others are shared still.
	store.Retain(func(name types.NamespacedName) bool { return name != names[0] })
	late := types.NamespacedName{Namespace: "late", Name: "ca"}
	store.Want(late, translate.ForAuthorities)
	runtime.GC()
	store.Update(late, FromConfigMap(&corev1.ConfigMap{Data: map[string]string{"ca.crt": string(ca)}}), epoch)
	if got := store.State(late, epoch).Trust.Authorities; got.Pool != first.Pool {
		t.Error("after the first is gone, the same content is parsed again")
	}

	store.Retain(func(types.NamespacedName) bool { return false })
	for range 100 {
		runtime.GC()
		store.parsed.mu.Lock()
		n := len(store.parsed.byDigest)
		store.parsed.mu.Unlock()
		if n == 0 {
			return
		}
		runtime.Gosched()
	}
	t.Error("authorities that nobody holds are not forgotten after 100 collections")
}

// What is known of a ConfigMap is told with its kind, for the Event on it.
func TestConfigMapOrigin(t *testing.T) {
	store := NewConfigMaps(time.Hour)
	store.Want(shop, translate.ForAuthorities)
	ca, _ := pair(t, "ca", 0, day)
	store.Update(shop, FromConfigMap(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{UID: "uid"}, Data: map[string]string{"ca.crt": string(ca)}}), epoch)
	got := store.State(shop, epoch)
	want := snapshot.Origin{Kind: "ConfigMap", Namespace: shop.Namespace, Name: shop.Name, UID: "uid"}
	if got.Origin != want || got.Trust.Authorities.Origin != want {
		t.Errorf("State = of %+v, authorities of %+v, want %+v", got.Origin, got.Trust.Authorities.Origin, want)
	}
}

// The halves do not hurt each other: each is kept, and judged, by itself.
func TestHalvesAreApart(t *testing.T) {
	store := New(time.Hour)
	cert, key := pair(t, "a", 0, day)
	ca, _ := pair(t, "ca", 0, day)
	whole := secret(cert, key)
	whole.Data["ca.crt"] = ca
	store.Want(shop, translate.ForCertificate|translate.ForAuthorities)
	store.Update(shop, whole, epoch)
	first := store.State(shop, epoch)
	if first.Certificate == nil || first.Trust.Authorities == nil {
		t.Fatalf("State = %+v, want both halves", first)
	}

	badPair := whole.DeepCopy()
	badPair.Data["tls.key"] = []byte("garbage")
	store.Update(shop, badPair, epoch)
	got := store.State(shop, epoch)
	if !got.LastGood || got.Trust != first.Trust {
		t.Errorf("State after a bad key = %+v, want the last good certificate and the same authorities", got)
	}

	badCA := whole.DeepCopy()
	badCA.Data["ca.crt"] = []byte("garbage")
	store.Update(shop, badCA, epoch)
	got = store.State(shop, epoch)
	if got.Certificate != first.Certificate || got.Reason != "" || !got.Trust.LastGood {
		t.Errorf("State after a bad ca.crt = %+v, want the same certificate and the last good authorities", got)
	}
}

// What nobody wants is forgotten, and what somebody begins to want is read again.
func TestWant(t *testing.T) {
	store := New(time.Hour)
	both := translate.ForCertificate | translate.ForAuthorities
	cert, key := pair(t, "a", 0, day)
	whole := secret(cert, key)
	whole.Data["ca.crt"] = cert
	for i, step := range []struct {
		purpose            translate.Purpose
		again, pair, trust bool
	}{
		{translate.ForCertificate, false, true, false},
		{both, true, true, true},
		{both, false, true, true},
		{translate.ForAuthorities, true, false, true},
		{translate.ForCertificate, true, true, false},
	} {
		if again := store.Want(shop, step.purpose); again != step.again {
			t.Errorf("step %d: Want(%d) = %v, want %v", i, step.purpose, again, step.again)
		}
		if got := store.State(shop, epoch); !step.pair && got.Certificate != nil || !step.trust && got.Trust.Authorities != nil {
			t.Errorf("step %d: State after Want(%d) = %+v, want nothing of what is not wanted", i, step.purpose, got)
		}
		store.Update(shop, whole, epoch)
		got := store.State(shop, epoch)
		if (got.Certificate != nil) != step.pair || (got.Trust.Authorities != nil) != step.trust {
			t.Errorf("step %d: State = %+v, want certificate %v, authorities %v", i, got, step.pair, step.trust)
		}
	}
}
