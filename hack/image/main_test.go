package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// TestImage: the layout names its parts by what is in them, as importers check, has
// an image for each platform, and is the same for the same files.
func TestImage(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"program-amd64": "for amd64", "program-arm64": "for arm64", "roots": "the roots"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	im := image{
		name: "cardea.invalid:5000/x:y", cmd: "controller", labels: map[string]string{"org.opencontainers.image.version": "v1"},
		platforms: []string{"linux/amd64", "linux/arm64"},
		files:     []string{"/cardea=" + dir + "/program-{arch}", "/etc/ssl/roots=" + dir + "/roots"},
	}
	var images [2][]byte
	for i := range images {
		out := filepath.Join(dir, fmt.Sprint(i))
		if err := im.write(out); err != nil {
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

	parts := files(t, images[0])
	var top, platforms index
	unmarshal(t, parts["index.json"].data, &top)
	if a := top.Manifests[0].Annotations; a["io.containerd.image.name"] != im.name || a["org.opencontainers.image.ref.name"] != "y" {
		t.Errorf("annotations = %v, want the name and its tag", a)
	}
	unmarshal(t, part(t, parts, top.Manifests[0]), &platforms)
	if len(platforms.Manifests) != 2 {
		t.Fatalf("index = %+v, want two manifests", platforms)
	}
	for i, arch := range []string{"amd64", "arm64"} {
		d := platforms.Manifests[i]
		if d.Platform == nil || *d.Platform != (platform{arch, "linux"}) {
			t.Errorf("platform = %v, want linux/%s", d.Platform, arch)
		}
		var m manifest
		unmarshal(t, part(t, parts, d), &m)
		var c struct {
			Architecture string
			Config       struct {
				Entrypoint, Cmd []string
				User            string
				Labels          map[string]string
			}
			Rootfs struct {
				DiffIDs []string `json:"diff_ids"`
			}
		}
		unmarshal(t, part(t, parts, m.Config), &c)
		if c.Architecture != arch || c.Config.Entrypoint[0] != "/cardea" || c.Config.Cmd[0] != "controller" ||
			c.Config.User != "65532:65532" || c.Config.Labels["org.opencontainers.image.version"] != "v1" {
			t.Errorf("the image runs %+v, want /cardea controller as 65532:65532 on %s", c, arch)
		}
		zipped, err := gzip.NewReader(bytes.NewReader(part(t, parts, m.Layers[0])))
		if err != nil {
			t.Fatal(err)
		}
		layer, err := io.ReadAll(zipped)
		if err != nil {
			t.Fatal(err)
		}
		if got := digest(layer); c.Rootfs.DiffIDs[0] != got {
			t.Errorf("diff_id = %s, want %s", c.Rootfs.DiffIDs[0], got)
		}
		in := files(t, layer)
		if f := in["cardea"]; string(f.data) != "for "+arch || f.mode != 0o755 {
			t.Errorf("/cardea = %q, mode %o, want the program for %s, mode 755", f.data, f.mode, arch)
		}
		if f := in["etc/ssl/roots"]; string(f.data) != "the roots" || f.mode != 0o644 {
			t.Errorf("/etc/ssl/roots = %q, mode %o, want the roots, mode 644", f.data, f.mode)
		}
	}
}

// TestImageRefuses: a file without a place in the image, and a platform that is none,
// are errors.
func TestImageRefuses(t *testing.T) {
	here := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(here, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, im := range []image{
		{platforms: []string{"linux/amd64"}, files: []string{"program"}},
		{platforms: []string{"linux/amd64"}, files: []string{"relative=" + here}},
		{platforms: []string{"linux/amd64"}, files: []string{"/missing=" + here + "-{arch}"}},
		{platforms: []string{"linux"}, files: []string{"/program=" + here}},
	} {
		im.name = "x:y"
		if err := im.write(filepath.Join(t.TempDir(), "out")); err == nil {
			t.Errorf("write(%+v) = nil, want an error", im)
		}
	}
}

// part returns what d names; its name must be that of its content.
func part(t *testing.T, parts map[string]file, d descriptor) []byte {
	t.Helper()
	data := parts["blobs/sha256/"+d.Digest[len("sha256:"):]].data
	if digest(data) != d.Digest || len(data) != d.Size {
		t.Fatalf("%s: %d bytes with digest %s, want %d", d.Digest, len(data), digest(data), d.Size)
	}
	return data
}

func files(t *testing.T, archive []byte) map[string]file {
	t.Helper()
	all := map[string]file{}
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
		all[h.Name] = file{h.Name, h.Mode, data}
	}
}

func unmarshal(t *testing.T, data []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatal(err)
	}
}
