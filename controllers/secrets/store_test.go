package secrets

import (
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cardea-dev/cardea/controllers/translate"
)

var (
	epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	shop  = types.NamespacedName{Namespace: "shop", Name: "tls"}
)

const day = 24 * time.Hour

// pair is a self-signed certificate whose common name is cn, valid in the given
// days after epoch.
func pair(t *testing.T, cn string, from, to time.Duration) (cert, key []byte) {
	t.Helper()
	seed := make([]byte, ed25519.SeedSize)
	copy(seed, cn)
	private := ed25519.NewKeyFromSeed(seed)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: cn},
		DNSNames:     []string{"shop.example.com"},
		NotBefore:    epoch.Add(from),
		NotAfter:     epoch.Add(to),
	}
	der, err := x509.CreateCertificate(nil, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

func secret(cert, key []byte) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: shop.Namespace, Name: shop.Name, UID: "u1"},
		Type:       corev1.SecretTypeTLS,
		Data:       map[string][]byte{corev1.TLSCertKey: cert, corev1.TLSPrivateKeyKey: key},
	}
}

// TestStore tells one story a case: what is read when, and what is known then.
func TestStore(t *testing.T) {
	named := func(cn string, from, to time.Duration) *corev1.Secret { return secret(pair(t, cn, from, to)) }
	a := named("a", -day, 10*day)
	b := named("b", 0, 20*day)
	later := named("later", 3*day, 30*day)
	expired := named("expired", -9*day, -day)
	garbage := secret([]byte("garbage"), []byte("garbage"))
	opaque := secret(nil, nil)
	opaque.Type = corev1.SecretTypeOpaque
	opaquePair := a.DeepCopy()
	opaquePair.Type = corev1.SecretTypeOpaque
	keyOnly := secret(nil, a.Data[corev1.TLSPrivateKeyKey])

	type want struct {
		CN       string
		Reason   translate.Reason
		LastGood bool
		Pending  time.Duration
		Next     time.Duration
	}
	type step struct {
		at         time.Duration
		read       *corev1.Secret
		gone       bool
		unreadable string
		want       want
	}
	for _, c := range []struct {
		name  string
		keep  time.Duration
		steps []step
	}{
		{"valid content is served", time.Hour, []step{
			{read: a, want: want{CN: "a"}},
			{at: day, read: b, want: want{CN: "b"}},
		}},
		{"never read is not found", time.Hour, []step{
			{want: want{Reason: translate.SecretNotFound}},
		}},
		{"a half-created Secret waits for its other half", time.Hour, []step{
			{gone: true, want: want{Reason: translate.SecretNotFound}},
			{read: opaque, want: want{Reason: translate.SecretWrongType}},
			{read: keyOnly, want: want{Reason: translate.SecretInvalid}},
			{read: a, want: want{CN: "a"}},
		}},
		{"another type with a pair is served", time.Hour, []step{
			{read: opaquePair, want: want{CN: "a"}},
		}},
		{"invalid keeps the last good until its notAfter", time.Hour, []step{
			{read: a, want: want{CN: "a"}},
			{at: day, read: garbage, want: want{CN: "a", Reason: translate.SecretInvalid, LastGood: true, Next: 10 * day}},
			{at: 10*day - 1, want: want{CN: "a", Reason: translate.SecretInvalid, LastGood: true, Next: 10 * day}},
			{at: 10 * day, want: want{Reason: translate.SecretInvalid}},
			{at: 11 * day, read: b, want: want{CN: "b"}},
		}},
		{"repaired with the same content", time.Hour, []step{
			{read: a, want: want{CN: "a"}},
			{read: garbage, want: want{CN: "a", Reason: translate.SecretInvalid, LastGood: true, Next: 10 * day}},
			{read: a, want: want{CN: "a"}},
		}},
		{"a current certificate is served beyond its notAfter", time.Hour, []step{
			{read: a, want: want{CN: "a"}},
			{at: 11 * day, want: want{CN: "a"}},
		}},
		{"an expired one does not replace a valid one", time.Hour, []step{
			{read: expired, want: want{CN: "expired"}},
			{read: a, want: want{CN: "a"}},
			{read: expired, want: want{CN: "a", Reason: translate.SecretInvalid, LastGood: true, Next: 10 * day}},
			{at: 10 * day, want: want{Reason: translate.SecretInvalid}},
		}},
		{"deleted keeps the last good for a while", time.Hour, []step{
			{read: a, want: want{CN: "a"}},
			{at: day, gone: true, want: want{CN: "a", Reason: translate.SecretNotFound, LastGood: true, Next: day + time.Hour}},
			{at: day + time.Minute, gone: true, want: want{CN: "a", Reason: translate.SecretNotFound, LastGood: true, Next: day + time.Hour}},
			{at: day + time.Hour, want: want{Reason: translate.SecretNotFound}},
		}},
		{"deleted ends at the notAfter if that is earlier", time.Hour, []step{
			{read: a, want: want{CN: "a"}},
			{at: 10*day - time.Minute, gone: true, want: want{CN: "a", Reason: translate.SecretNotFound, LastGood: true, Next: 10 * day}},
			{at: 10 * day, want: want{Reason: translate.SecretNotFound}},
		}},
		{"deleted ends at once if so configured", 0, []step{
			{read: a, want: want{CN: "a"}},
			{gone: true, want: want{Reason: translate.SecretNotFound}},
		}},
		{"deleted and created again", time.Hour, []step{
			{read: a, want: want{CN: "a"}},
			{gone: true, want: want{CN: "a", Reason: translate.SecretNotFound, LastGood: true, Next: time.Hour}},
			{read: garbage, want: want{CN: "a", Reason: translate.SecretInvalid, LastGood: true, Next: 10 * day}},
			{at: 2 * time.Hour, read: a, want: want{CN: "a"}},
		}},
		{"a certificate that is not yet valid waits", time.Hour, []step{
			{read: a, want: want{CN: "a"}},
			{at: day, read: later, want: want{CN: "a", Reason: translate.CertificateNotYetValid, LastGood: true, Pending: 3 * day, Next: 3 * day}},
			{at: 3 * day, want: want{CN: "later"}},
		}},
		{"the first certificate waits too", time.Hour, []step{
			{read: later, want: want{Reason: translate.CertificateNotYetValid, Pending: 3 * day, Next: 3 * day}},
			{at: 4 * day, want: want{CN: "later"}},
		}},
		{"one that waits is taken back", time.Hour, []step{
			{read: a, want: want{CN: "a"}},
			{read: later, want: want{CN: "a", Reason: translate.CertificateNotYetValid, LastGood: true, Pending: 3 * day, Next: 3 * day}},
			{read: a, want: want{CN: "a"}},
			{at: 4 * day, want: want{CN: "a"}},
		}},
		{"one that waits outlives garbage", time.Hour, []step{
			{read: a, want: want{CN: "a"}},
			{read: later, want: want{CN: "a", Reason: translate.CertificateNotYetValid, LastGood: true, Pending: 3 * day, Next: 3 * day}},
			{read: garbage, want: want{CN: "a", Reason: translate.SecretInvalid, LastGood: true, Pending: 3 * day, Next: 3 * day}},
			{at: 3 * day, want: want{CN: "later", Reason: translate.SecretInvalid, LastGood: true, Next: 30 * day}},
		}},
		{"unreadable keeps what was read", time.Hour, []step{
			{unreadable: "forbidden", want: want{Reason: translate.SecretUnreadable}},
			{read: a, want: want{CN: "a"}},
			{unreadable: "forbidden", want: want{CN: "a", Reason: translate.SecretUnreadable, LastGood: true}},
			{read: a, want: want{CN: "a"}},
			{read: garbage, want: want{CN: "a", Reason: translate.SecretInvalid, LastGood: true, Next: 10 * day}},
			{unreadable: "forbidden", want: want{CN: "a", Reason: translate.SecretInvalid, LastGood: true, Next: 10 * day}},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			store := New(c.keep)
			for i, step := range c.steps {
				now := epoch.Add(step.at)
				switch {
				case step.read != nil:
					store.Update(shop, step.read, now)
				case step.gone:
					store.Update(shop, nil, now)
				case step.unreadable != "":
					store.Unreadable(shop, step.unreadable, now)
				}
				state := store.State(shop, now)
				got := want{Reason: state.Reason, LastGood: state.LastGood}
				if state.Certificate != nil {
					got.CN = state.Certificate.Leaf().Subject.CommonName
				}
				if !state.Pending.IsZero() {
					got.Pending = state.Pending.Sub(epoch)
				}
				if next := store.Next(); !next.IsZero() {
					got.Next = next.Sub(epoch)
				}
				if diff := cmp.Diff(step.want, got); diff != "" {
					t.Errorf("step %d: State(%v) (-want +got):\n%s", i, step.at, diff)
				}
				if (state.Problem == "") != (state.Reason == "") {
					t.Errorf("step %d: State(%v) has reason %q and problem %q", i, step.at, state.Reason, state.Problem)
				}
			}
		})
	}
}

func TestSameContentKeepsItsCertificate(t *testing.T) {
	store := New(time.Hour)
	a, b := secret(pair(t, "a", 0, day)), secret(pair(t, "b", 0, day))
	store.Update(shop, a, epoch)
	first := store.State(shop, epoch).Certificate

	for _, s := range []*corev1.Secret{a.DeepCopy(), nil, a.DeepCopy(), secret([]byte("x"), []byte("x")), a.DeepCopy()} {
		store.Update(shop, s, epoch)
		if got := store.State(shop, epoch).Certificate; got != first {
			t.Errorf("State after the same content = %p, want the same certificate %p", got, first)
		}
	}
	store.Update(shop, b, epoch)
	if got := store.State(shop, epoch).Certificate; got == first {
		t.Error("State after other content = the same certificate")
	}
}

func TestOriginHoldsTheUID(t *testing.T) {
	store := New(time.Hour)
	store.Update(shop, secret(pair(t, "a", 0, day)), epoch)
	state := store.State(shop, epoch)
	if state.Origin.UID != "u1" || state.Certificate.Origin != state.Origin {
		t.Errorf("State: origin %+v, certificate's origin %+v, want UID u1 in both", state.Origin, state.Certificate.Origin)
	}
}

func TestRetainForgets(t *testing.T) {
	store := New(time.Hour)
	store.Update(shop, secret(pair(t, "a", 0, day)), epoch)
	store.Update(shop, nil, epoch)
	store.Retain(func(types.NamespacedName) bool { return false })
	if got := store.State(shop, epoch); got.Certificate != nil {
		t.Errorf("State after Retain = %v, want no certificate", got.Certificate)
	}
	if got := store.Next(); !got.IsZero() {
		t.Errorf("Next after Retain = %v, want never", got)
	}
}

func TestDueIsOverOnceLookedAt(t *testing.T) {
	store := New(time.Hour)
	store.Update(shop, secret(pair(t, "a", day, 2*day)), epoch)
	if got := store.Due(epoch); len(got) != 0 {
		t.Errorf("Due before notBefore = %v, want none", got)
	}
	now := epoch.Add(day)
	if got := store.Due(now); !cmp.Equal(got, []types.NamespacedName{shop}) {
		t.Errorf("Due at notBefore = %v, want %v", got, shop)
	}
	store.State(shop, now)
	if got := store.Due(now); len(got) != 0 {
		t.Errorf("Due after State = %v, want none", got)
	}
}

func TestProblemsNeverQuoteTheKey(t *testing.T) {
	cert, key := pair(t, "a", 0, day)
	_, other := pair(t, "b", 0, day)
	broken := strings.Replace(string(key), "PRIVATE KEY", "PRIVATE KEZ", 2)
	for _, s := range []*corev1.Secret{secret(cert, other), secret(cert, []byte(broken)), secret(key, cert), secret(key, key)} {
		store := New(time.Hour)
		store.Update(shop, s, epoch)
		problem := store.State(shop, epoch).Problem
		for _, line := range strings.Split(string(s.Data[corev1.TLSPrivateKeyKey])+string(s.Data[corev1.TLSCertKey]), "\n") {
			if len(line) > 12 && !strings.HasPrefix(line, "--") && strings.Contains(problem, line) {
				t.Errorf("Problem quotes the Secret: %q", problem)
			}
		}
		if problem == "" {
			t.Error("Problem is empty for a pair that does not match")
		}
	}
}

// TestUpdateAll: several Secrets at once are what they are one after the other.
func TestUpdateAll(t *testing.T) {
	all := map[types.NamespacedName]*corev1.Secret{}
	one, many := New(time.Hour), New(time.Hour)
	for i := range 50 {
		name := types.NamespacedName{Namespace: "shop", Name: fmt.Sprint("tls-", i)}
		cert, key := pair(t, name.Name, time.Duration(i%5-2)*day, 10*day)
		if i%7 == 0 {
			key = []byte("no key")
		}
		s := secret(cert, key)
		s.Name = name.Name
		all[name] = s
		one.Update(name, s, epoch)
	}
	many.UpdateAll(all, epoch)
	for name := range all {
		got, want := many.State(name, epoch), one.State(name, epoch)
		if (got.Certificate == nil) != (want.Certificate == nil) || got.Certificate != nil && got.Certificate.Digest != want.Certificate.Digest {
			t.Errorf("%s: certificate %v, want %v", name, got.Certificate, want.Certificate)
		}
		got.Certificate, want.Certificate = nil, nil
		if got != want {
			t.Errorf("%s: state %+v, want %+v", name, got, want)
		}
	}
	if got, want := many.Next(), one.Next(); !got.Equal(want) {
		t.Errorf("Next = %v, want %v", got, want)
	}
}
