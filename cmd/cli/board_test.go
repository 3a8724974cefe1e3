package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// A recorder keeps what was published, or refuses it.
type recorder struct {
	updates []snapshot.Update
	err     error
}

func (r *recorder) Publish(u snapshot.Update) error {
	if r.err == nil {
		r.updates = append(r.updates, u)
	}
	return r.err
}

func TestBoardKeepsEndpointsOfPoolsInForce(t *testing.T) {
	r := new(recorder)
	b := newBoard(r, nil, nil)
	list := []snapshot.Endpoint{{Addr: netip.MustParseAddrPort("10.0.0.1:80")}}
	publish := func(u snapshot.Update) {
		t.Helper()
		if err := b.Publish(u); err != nil {
			t.Fatal(err)
		}
	}
	publish(snapshot.Update{Spec: &snapshot.Spec{Pools: []*snapshot.Pool{{ID: "a"}, {ID: "b"}}}, Endpoints: map[string][]snapshot.Endpoint{"a": list, "c": list}})
	if len(b.of("a")) != 1 || len(b.of("b")) != 0 || len(b.of("c")) != 0 {
		t.Errorf("endpoints = %v, want those of a alone", b.all())
	}
	publish(snapshot.Update{Spec: &snapshot.Spec{Pools: []*snapshot.Pool{{ID: "b"}}}})
	if len(b.all()) != 0 {
		t.Errorf("endpoints = %v, want none: the pool is gone", b.all())
	}
	r.err = errors.New("refused")
	if err := b.Publish(snapshot.Update{Endpoints: map[string][]snapshot.Endpoint{"b": list}}); !errors.Is(err, r.err) || len(b.of("b")) != 0 {
		t.Errorf("a refused update: %v, endpoints %v, want the error and none", err, b.all())
	}
}

// The Secret of --default-ssl-certificate is served to unknown names; a bad one,
// or an API server that fails, takes nothing away.
func TestDefaultSecret(t *testing.T) {
	_, certPEM, keyPEM, err := makeCertificate(time.Now(), "default.example.com")
	if err != nil {
		t.Fatal(err)
	}
	var answer atomic.Pointer[string]
	answer.Store(new(string))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		text := *answer.Load()
		if text == "" || r.URL.Path != "/api/v1/namespaces/ns/secrets/default" {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, text)
	}))
	defer server.Close()

	r := new(recorder)
	p := &process{board: newBoard(r, nil, nil), log: slog.New(slog.DiscardHandler)}
	if err := p.board.Publish(snapshot.Update{Spec: &snapshot.Spec{}}); err != nil {
		t.Fatal(err)
	}
	f, err := newSecretFollower(types.NamespacedName{Namespace: "ns", Name: "default"}, p, &rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	read := func(text string) *snapshot.Spec {
		answer.Store(&text)
		f.read(t.Context())
		return r.updates[len(r.updates)-1].Spec
	}
	secret := func(cert, key []byte) string {
		return fmt.Sprintf(`{"kind":"Secret","apiVersion":"v1","metadata":{"name":"default","namespace":"ns"},"type":"kubernetes.io/tls","data":{"tls.crt":%s,"tls.key":%s}}`, quoteBytes(cert), quoteBytes(key))
	}
	if s := read(""); s.DefaultCertificate != nil || s.UnknownSNI != snapshot.UnknownSNIReject {
		t.Errorf("without an answer: %v, want no certificate", s.DefaultCertificate)
	}
	good := read(secret(certPEM, keyPEM))
	if good.DefaultCertificate == nil || good.UnknownSNI != snapshot.UnknownSNIDefaultCert {
		t.Fatalf("with the Secret: %v, want its certificate", good.DefaultCertificate)
	}
	for _, bad := range []string{secret([]byte("x"), []byte("y")), ""} {
		if s := read(bad); s.DefaultCertificate != good.DefaultCertificate {
			t.Errorf("with a bad answer: %v, want the last good certificate", s.DefaultCertificate)
		}
	}
}

// quoteBytes is how JSON holds bytes in Kubernetes.
func quoteBytes(b []byte) []byte {
	text, _ := json.Marshal(b) // never fails for bytes
	return text
}

// What the table says about connections wins field by field over the flags, and
// the same table makes the same policy, so that nothing is compiled again.
func TestRow60BoardCompletesTheConnectionPolicy(t *testing.T) {
	deny := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	flags := &snapshot.ConnectionPolicy{Deny: deny, MaxPerAddress: 10, NewPerSecondPerAddress: 5, Burst: 7, Max: 100, ProxyTimeout: time.Second}
	table := &snapshot.ConnectionPolicy{MaxPerAddress: 20, NewPerSecondPerAddress: 1, Origin: snapshot.Origin{Kind: "IngressClassParameters", Name: "edge"}}
	r := new(recorder)
	b := newBoard(r, nil, flags)
	publish := func(p *snapshot.ConnectionPolicy) *snapshot.ConnectionPolicy {
		t.Helper()
		if err := b.Publish(snapshot.Update{Spec: &snapshot.Spec{Connections: p}}); err != nil {
			t.Fatal(err)
		}
		return r.updates[len(r.updates)-1].Spec.Connections
	}
	if got := publish(nil); got != flags {
		t.Errorf("without a policy in the table: %+v, want that of the flags", got)
	}
	want := &snapshot.ConnectionPolicy{
		Origin: table.Origin, Deny: deny, MaxPerAddress: 20, NewPerSecondPerAddress: 1, Max: 100, ProxyTimeout: time.Second,
	}
	first := publish(table)
	if !reflect.DeepEqual(first, want) {
		t.Errorf("merged = %+v, want %+v", first, want)
	}
	if again := publish(table); again != first {
		t.Errorf("the same table made another policy")
	}
	if got := publish(nil); got != flags {
		t.Errorf("after the table's policy went: %+v, want that of the flags", got)
	}
	b.connections = nil
	if got := publish(table); got != table {
		t.Errorf("without flags: %+v, want the table's own", got)
	}
}
