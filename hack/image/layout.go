package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// The types of the parts: OCI image specification 1.1, "Media Types".
const (
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// file is one of an archive.
type file struct {
	name string
	mode int64
	data []byte
}

// A descriptor names a part by its content, as everything of a layout does.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Platform    *platform         `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

type index struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Manifests     []descriptor `json:"manifests"`
}

type manifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	Config        descriptor        `json:"config"`
	Layers        []descriptor      `json:"layers"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// A layout collects the parts of an image.
type layout struct {
	files []file
	known map[string]bool
}

// write writes the image to a file: per platform a layer, a configuration and a
// manifest; an index of those; and the layout's own index, which names the image.
func (i *image) write(out string) error {
	l := &layout{known: map[string]bool{}}
	images := index{SchemaVersion: 2, MediaType: typeIndex}
	for _, p := range i.platforms {
		d, err := i.platform(l, p)
		if err != nil {
			return err
		}
		images.Manifests = append(images.Manifests, d)
	}
	top, err := l.json(typeIndex, images)
	if err != nil {
		return err
	}
	_, tag, _ := strings.Cut(i.name[strings.LastIndex(i.name, "/")+1:], ":")
	top.Annotations = map[string]string{
		"org.opencontainers.image.ref.name": tag,
		"io.containerd.image.name":          i.name,
	}
	entry, err := json.Marshal(index{SchemaVersion: 2, MediaType: typeIndex, Manifests: []descriptor{top}})
	if err != nil {
		return err
	}
	archive, err := archive(append(
		[]file{{"oci-layout", 0o644, []byte(`{"imageLayoutVersion":"1.0.0"}`)}, {"index.json", 0o644, entry}}, l.files...))
	if err != nil {
		return err
	}
	return os.WriteFile(out, archive, 0o644)
}

// platform adds the image of one platform.
func (i *image) platform(l *layout, name string) (descriptor, error) {
	var p platform
	var ok bool
	if p.OS, p.Architecture, ok = strings.Cut(name, "/"); !ok {
		return descriptor{}, fmt.Errorf("platform %q: want OS/ARCH", name)
	}
	files, program, err := i.layer(p.OS, p.Architecture)
	if err != nil {
		return descriptor{}, err
	}
	layer, err := archive(files)
	if err != nil {
		return descriptor{}, err
	}
	packed, err := packed(layer)
	if err != nil {
		return descriptor{}, err
	}
	run := map[string]any{"Entrypoint": []string{program}, "User": "65532:65532", "WorkingDir": "/"}
	if i.cmd != "" {
		run["Cmd"] = []string{i.cmd}
	}
	if len(i.labels) > 0 {
		run["Labels"] = i.labels
	}
	config, err := l.json(typeConfig, map[string]any{
		"architecture": p.Architecture,
		"os":           p.OS,
		"config":       run,
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{digest(layer)}},
	})
	if err != nil {
		return descriptor{}, err
	}
	m := manifest{
		SchemaVersion: 2, MediaType: typeManifest, Config: config,
		Layers: []descriptor{l.add(typeLayer, packed)}, Annotations: i.labels,
	}
	d, err := l.json(typeManifest, m)
	d.Platform = &p
	return d, err
}

// add adds a part and returns what names it.
func (l *layout) add(mediaType string, data []byte) descriptor {
	d := descriptor{MediaType: mediaType, Digest: digest(data), Size: len(data)}
	if !l.known[d.Digest] {
		l.known[d.Digest] = true
		l.files = append(l.files, file{"blobs/" + strings.Replace(d.Digest, ":", "/", 1), 0o644, data})
	}
	return d
}

func (l *layout) json(mediaType string, v any) (descriptor, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return descriptor{}, err
	}
	return l.add(mediaType, data), nil
}

func digest(data []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }

// archive returns a tar of the files. Times are left out, so that the same files
// make the same image.
func archive(files []file) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.data)), Typeflag: tar.TypeReg, Format: tar.FormatPAX}); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func packed(data []byte) ([]byte, error) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
