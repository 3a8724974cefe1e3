package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// TestImage: the archive names its parts by what is in them, as importers check.
func TestImage(t *testing.T) {
	dir := t.TempDir()
	program, roots := filepath.Join(dir, "program"), filepath.Join(dir, "roots")
	for name, content := range map[string]string{program: "the program", roots: "the roots"} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var images [2][]byte
	for i := range images {
		out := filepath.Join(dir, fmt.Sprint(i))
		if err := write("cardea.invalid/x:y", out, "controller", []string{"/cardea=" + program, "/etc/ssl/roots=" + roots}); err != nil {
			t.Fatal(err)
		}
		var err error
		if images[i], err = os.ReadFile(out); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(images[0], images[1]) {
		t.Error("the same files made two different images")
	}

	image := files(t, images[0])
	var manifest []struct {
		Config           string
		RepoTags, Layers []string
	}
	unmarshal(t, image["manifest.json"], &manifest)
	if len(manifest) != 1 || manifest[0].RepoTags[0] != "cardea.invalid/x:y" {
		t.Fatalf("manifest = %+v, want one image named cardea.invalid/x:y", manifest)
	}
	config := image[manifest[0].Config].data
	if want := fmt.Sprintf("%x.json", sha256.Sum256(config)); manifest[0].Config != want {
		t.Errorf("configuration is named %s, want %s", manifest[0].Config, want)
	}
	var c struct {
		Config struct {
			Entrypoint, Cmd []string
			User            string
		}
		Rootfs struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	unmarshal(t, entry{data: config}, &c)
	if c.Config.Entrypoint[0] != "/cardea" || c.Config.Cmd[0] != "controller" || c.Config.User != "65532:65532" {
		t.Errorf("the image runs %+v, want /cardea controller as 65532:65532", c.Config)
	}
	layer := image[manifest[0].Layers[0]].data
	if want := fmt.Sprintf("sha256:%x", sha256.Sum256(layer)); c.Rootfs.DiffIDs[0] != want {
		t.Errorf("diff_id = %s, want %s", c.Rootfs.DiffIDs[0], want)
	}
	in := files(t, layer)
	if f := in["cardea"]; string(f.data) != "the program" || f.mode != 0o755 {
		t.Errorf("/cardea = %q, mode %o, want the program, mode 755", f.data, f.mode)
	}
	if f := in["etc/ssl/roots"]; string(f.data) != "the roots" || f.mode != 0o644 {
		t.Errorf("/etc/ssl/roots = %q, mode %o, want the roots, mode 644", f.data, f.mode)
	}
}

// TestImageRefuses: a file without a place in the image is an error.
func TestImageRefuses(t *testing.T) {
	for _, file := range []string{"program", "relative=program", "/missing=" + filepath.Join(t.TempDir(), "missing")} {
		if err := write("x:y", filepath.Join(t.TempDir(), "out"), "", []string{file}); err == nil {
			t.Errorf("write(%q) = nil, want an error", file)
		}
	}
}

func files(t *testing.T, archive []byte) map[string]entry {
	t.Helper()
	all := map[string]entry{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all[h.Name] = entry{h.Name, h.Mode, data}
	}
}

func unmarshal(t *testing.T, f entry, v any) {
	t.Helper()
	if err := json.Unmarshal(f.data, v); err != nil {
		t.Fatal(err)
	}
}
