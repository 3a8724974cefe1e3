// Command image writes a container image of a few files as an archive that
// containerd and docker import. It needs neither of them, nor a registry:
//
//	image [-cmd ARGUMENT] NAME:TAG OUT.tar /PATH=FILE...
//
// The first file is the program that the image runs, as uid 65532.
package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path"
	"runtime"
	"strings"
)

func main() {
	cmd := flag.String("cmd", "", "the argument that the program gets where a pod names none")
	flag.Parse()
	if flag.NArg() < 3 {
		fmt.Fprintln(os.Stderr, "usage: image [-cmd ARGUMENT] NAME:TAG OUT.tar /PATH=FILE...")
		os.Exit(2)
	}
	if err := write(flag.Arg(0), flag.Arg(1), *cmd, flag.Args()[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

// entry is a file of an archive.
type entry struct {
	name string
	mode int64
	data []byte
}

// write writes the image as one layer, in the form of `docker save`: a layer, a
// configuration named by its digest, and a manifest that names both.
func write(name, out, cmd string, files []string) error {
	var layer []entry
	var program string
	for _, f := range files {
		inside, outside, ok := strings.Cut(f, "=")
		if !ok || !path.IsAbs(inside) {
			return fmt.Errorf("file %q: want /PATH=FILE", f)
		}
		data, err := os.ReadFile(outside)
		if err != nil {
			return err
		}
		e := entry{strings.TrimPrefix(path.Clean(inside), "/"), 0o644, data}
		if program == "" {
			program, e.mode = inside, 0o755
		}
		layer = append(layer, e)
	}
	layerTar, err := archive(layer)
	if err != nil {
		return err
	}
	run := map[string]any{"Entrypoint": []string{program}, "User": "65532:65532", "WorkingDir": "/"}
	if cmd != "" {
		run["Cmd"] = []string{cmd}
	}
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config":       run,
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layerTar))}},
	})
	if err != nil {
		return err
	}
	configName := fmt.Sprintf("%x.json", sha256.Sum256(config))
	manifest, err := json.Marshal([]any{map[string]any{"Config": configName, "RepoTags": []string{name}, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return err
	}
	image, err := archive([]entry{{configName, 0o644, config}, {"layer.tar", 0o644, layerTar}, {"manifest.json", 0o644, manifest}})
	if err != nil {
		return err
	}
	return os.WriteFile(out, image, 0o644)
}

// archive returns a tar of the files. Times are left out, so that the same files
// make the same image.
func archive(files []entry) ([]byte, error) {
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
