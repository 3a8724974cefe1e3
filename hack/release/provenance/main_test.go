package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// TestState: the statement names each file by its digest, and the commit and the
// toolchain that made them.
func TestState(t *testing.T) {
	sums := filepath.Join(t.TempDir(), "SHA256SUMS")
	if err := os.WriteFile(sums, []byte("abc"), 0o600); err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable() // of Go, certainly
	if err != nil {
		t.Fatal(err)
	}
	s, err := state("v1.2.3", "0123abcd", "https://builder.example", []string{sums, program})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Type          string `json:"_type"`
		PredicateType string
		Subject       []struct {
			Name   string
			Digest struct{ SHA256 string }
		}
		Predicate struct {
			BuildDefinition struct {
				ExternalParameters   struct{ Version string }
				InternalParameters   struct{ Go string }
				ResolvedDependencies []struct {
					URI    string
					Digest struct{ GitCommit string }
				}
			}
			RunDetails struct{ Builder struct{ ID string } }
		}
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	// The digest of "abc" is in FIPS 180-4's examples.
	const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	if len(got.Subject) != 2 || got.Subject[0].Name != "SHA256SUMS" || got.Subject[0].Digest.SHA256 != abc {
		t.Errorf("subject = %+v, want SHA256SUMS with %s, and the program", got.Subject, abc)
	}
	b := got.Predicate.BuildDefinition
	if b.ExternalParameters.Version != "v1.2.3" || b.InternalParameters.Go != runtime.Version() ||
		len(b.ResolvedDependencies) != 1 || b.ResolvedDependencies[0].Digest.GitCommit != "0123abcd" {
		t.Errorf("build definition = %+v, want v1.2.3 from 0123abcd by %s", b, runtime.Version())
	}
	if got.Type != "https://in-toto.io/Statement/v1" || got.PredicateType != "https://slsa.dev/provenance/v1" ||
		got.Predicate.RunDetails.Builder.ID != "https://builder.example" {
		t.Errorf("statement = %s, want in-toto's types and the builder", text)
	}
	if _, err := state("v1", "0", "b", []string{sums + ".missing"}); err == nil {
		t.Error("state(missing file) = nil, want an error")
	}
}
