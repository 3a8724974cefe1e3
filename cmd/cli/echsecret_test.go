package cli

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
	"github.com/cardea-dev/cardea/test/ech"
)

// The Secret of --ech-secret is served, its changes are followed, and what cannot
// be used is told once and takes nothing away.
func TestECHSecret(t *testing.T) {
	first, _ := ech.Key(t, "a.example.com")
	second, _ := ech.Key(t, "b.example.com")
	var answer atomic.Pointer[string]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if text := *answer.Load(); text != "" && r.URL.Path == "/api/v1/namespaces/cardea/secrets/ech" {
			fmt.Fprint(w, text)
			return
		}
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","message":"secrets \"ech\" not found","code":404}`)
	}))
	defer server.Close()

	var log bytes.Buffer
	r := new(recorder)
	p := &process{
		board: newBoard(r, nil, nil), log: slog.New(slog.NewTextHandler(&log, nil)), fileMetrics: newFileMetrics(prometheus.NewRegistry()),
	}
	config := &rest.Config{Host: server.URL}
	c, err := newClient(config)
	if err != nil {
		t.Fatal(err)
	}
	f := newECHFollower(types.NamespacedName{Namespace: "cardea", Name: "ech"}, p, c)
	version := 0
	secret := func(data ...string) string {
		version++
		var entries []string
		for i := 0; i < len(data); i += 2 {
			entries = append(entries, fmt.Sprintf("%q:%s", data[i], quoteBytes([]byte(data[i+1]))))
		}
		return fmt.Sprintf(`{"kind":"Secret","apiVersion":"v1","metadata":{"name":"ech","namespace":"cardea","resourceVersion":"%d"},"type":"Opaque","data":{%s}}`,
			version, strings.Join(entries, ","))
	}
	same := secret("ech.pem", first)
	for _, step := range []struct {
		name, answer  string
		updates, logs int
		want          []string
	}{
		{"no Secret", "", 0, 1, nil},
		{"still none", "", 0, 1, nil},
		{"one key", same, 1, 2, []string{"a.example.com"}},
		{"no change", same, 1, 2, []string{"a.example.com"}},
		{"nonsense", secret("ech.pem", "nonsense"), 1, 3, []string{"a.example.com"}},
		{"no current key", secret("old.pem", first), 1, 4, []string{"a.example.com"}},
		{"two keys and a note", secret("ech.pem", second, "old.pem", first, "README", "x"), 2, 5, []string{"a.example.com", "b.example.com"}},
		{"deleted", "", 2, 6, []string{"a.example.com", "b.example.com"}},
	} {
		answer.Store(&step.answer)
		f.read(t.Context())
		if len(r.updates) != step.updates {
			t.Fatalf("%s: %d updates, want %d", step.name, len(r.updates), step.updates)
		}
		if n := strings.Count(log.String(), "\n"); n != step.logs {
			t.Errorf("%s: %d lines in the log, want %d:\n%s", step.name, n, step.logs, &log)
		}
		keys := new(snapshot.ECHKeys)
		if step.updates > 0 {
			keys = r.updates[step.updates-1].ECH
		}
		if got := fmt.Sprint(keys.PublicNames()); got != fmt.Sprint(step.want) {
			t.Errorf("%s: public names %s, want %s", step.name, got, step.want)
		}
	}
}
