package cli

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cardea-dev/cardea/controllers/translate"
)

// TestReadManySecrets: many Secrets are read in parts, with a collection before each, and all
// of them are; few are read without one.
func TestReadManySecrets(t *testing.T) {
	now := time.Now()
	f := newFeed(translate.Options{}, nil)
	collections := 0
	f.secrets.collect = func() { collections++ }
	var names []types.NamespacedName
	for i := range 2*readTogether + 1 {
		name := types.NamespacedName{Namespace: "shop", Name: fmt.Sprintf("s%d", i)}
		f.secrets.all[name] = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}, Type: "kubernetes.io/tls"}
		f.secrets.store.Want(name, translate.ForCertificate)
		names = append(names, name)
	}
	f.secrets.read(now, names[:readTogether]...)
	if collections != 0 {
		t.Errorf("reading %d Secrets made %d collections, want none", readTogether, collections)
	}
	f.secrets.read(now, names...)
	if collections != 3 {
		t.Errorf("reading %d Secrets made %d collections, want 3", len(names), collections)
	}
	for _, name := range names {
		if s := f.secrets.store.State(name, now); s.Reason != translate.SecretInvalid {
			t.Fatalf("State(%s).Reason = %q, want %q: it was not read", name, s.Reason, translate.SecretInvalid)
		}
	}
}
