package main

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// TestKey: what the command writes is what Cardea serves, and what it prints is
// what is in the file.
func TestKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ech.pem")
	var out bytes.Buffer
	if err := run([]string{"--public-name", "public.example.com", "--out", file, "a.example.com", "b.example.com"}, &out); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	key, err := snapshot.ParseECHKey(data)
	if err != nil || !slices.Equal(key.PublicNames(), []string{"public.example.com"}) {
		t.Errorf("ParseECHKey() = %v, %v, want a key of public.example.com", key, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("Stat() = %v, %v, want the mode 0600", info, err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	record := regexp.MustCompile(`^([ab])\.example\.com\. 300 IN HTTPS 1 \. alpn="h2,http/1\.1" ech="(\S+)"$`)
	for i, line := range lines {
		m := record.FindStringSubmatch(line)
		if len(lines) != 2 || m == nil || m[1] != string("ab"[i]) {
			t.Fatalf("printed %q, want a record for each host", lines)
		}
		list, err := base64.StdEncoding.DecodeString(m[2])
		_, rest := pem.Decode(data)
		if b, _ := pem.Decode(rest); err != nil || b == nil || !bytes.Equal(b.Bytes, list) {
			t.Errorf("the record holds %x, %v, want what the file holds", list, err)
		}
	}
	if err := run([]string{"--public-name", "public.example.com", "--out", file}, &out); err == nil {
		t.Error("a key was written over another")
	}
	if err := run([]string{"--out", filepath.Join(t.TempDir(), "x")}, &out); err == nil {
		t.Error("a key without public name was made")
	}
}
