// Command provenance says of what files were made, and from what, as an in-toto
// statement with SLSA provenance, for cosign to sign:
//
//	provenance -version v1.2.3 -commit SHA FILE... >provenance.intoto.json
//
// Of a Go program among the files it also says which toolchain built it. The same
// files make the same statement: there is no time in it.
package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

const repository = "https://github.com/cardea-dev/cardea"

func main() {
	version := flag.String("version", "", "the version that was built")
	commit := flag.String("commit", "", "the commit that it was built from, in hex")
	builder := flag.String("builder", repository+"/blob/main/hack/release/build", "the URI of who built it; one that nobody else can use says more")
	flag.Parse()
	if *version == "" || *commit == "" || flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: provenance -version VERSION -commit SHA [-builder URI] FILE...")
		os.Exit(2)
	}
	s, err := state(*version, *commit, *builder, flag.Args())
	if err == nil {
		out := json.NewEncoder(os.Stdout)
		out.SetEscapeHTML(false)
		err = out.Encode(s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "provenance:", err)
		os.Exit(1)
	}
}

// The forms are those of in-toto's Statement v1 and of the predicate SLSA
// Provenance v1.
type (
	statement struct {
		Type          string     `json:"_type"`
		Subject       []resource `json:"subject"`
		PredicateType string     `json:"predicateType"`
		Predicate     predicate  `json:"predicate"`
	}
	resource struct {
		Name   string            `json:"name,omitempty"`
		URI    string            `json:"uri,omitempty"`
		Digest map[string]string `json:"digest"`
	}
	predicate struct {
		BuildDefinition definition `json:"buildDefinition"`
		RunDetails      details    `json:"runDetails"`
	}
	definition struct {
		BuildType            string            `json:"buildType"`
		ExternalParameters   map[string]string `json:"externalParameters"`
		InternalParameters   map[string]string `json:"internalParameters,omitempty"`
		ResolvedDependencies []resource        `json:"resolvedDependencies"`
	}
	details struct {
		Builder struct {
			ID string `json:"id"`
		} `json:"builder"`
	}
)

// state makes the statement about the files.
func state(version, commit, builder string, files []string) (*statement, error) {
	s := &statement{Type: "https://in-toto.io/Statement/v1", PredicateType: "https://slsa.dev/provenance/v1"}
	s.Predicate.RunDetails.Builder.ID = builder
	d := &s.Predicate.BuildDefinition
	d.BuildType = repository + "/blob/main/docs/release.md"
	d.ExternalParameters = map[string]string{"version": version}
	d.ResolvedDependencies = []resource{{URI: "git+" + repository + "@" + commit, Digest: map[string]string{"gitCommit": commit}}}
	for _, name := range files {
		sum, err := sha256Of(name)
		if err != nil {
			return nil, err
		}
		s.Subject = append(s.Subject, resource{Name: filepath.Base(name), Digest: map[string]string{"sha256": sum}})
		if info, err := buildinfo.ReadFile(name); err == nil { // else it is no Go program
			d.InternalParameters = map[string]string{"go": info.GoVersion}
		}
	}
	return s, nil
}

func sha256Of(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}
