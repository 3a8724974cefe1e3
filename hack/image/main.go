// Command image writes a container image as an OCI image layout in a tar, which
// containerd, docker, skopeo and crane read. It needs none of them, nor a registry:
//
//	image [-cmd ARGUMENT] [-platforms linux/amd64,linux/arm64] [-label KEY=VALUE] NAME:TAG OUT.tar /PATH=FILE...
//
// The first file is the program that the image runs, as uid 65532. {os} and {arch}
// in the name of a FILE stand for those of the platform. The same files make the
// same image, byte by byte.
package main

import (
	"flag"
	"fmt"
	"os"
	"path"
	"runtime"
	"strings"
)

func main() {
	image := image{labels: map[string]string{}}
	flag.StringVar(&image.cmd, "cmd", "", "the argument that the program gets where a pod names none")
	platforms := flag.String("platforms", "linux/"+runtime.GOARCH, "the platforms that the image is for, separated by commas")
	flag.Func("label", "a label of the image, KEY=VALUE; may be repeated", func(s string) error {
		key, value, ok := strings.Cut(s, "=")
		if !ok {
			return fmt.Errorf("label %q: want KEY=VALUE", s)
		}
		image.labels[key] = value
		return nil
	})
	flag.Parse()
	if flag.NArg() < 3 {
		fmt.Fprintln(os.Stderr, "usage: image [-cmd ARGUMENT] [-platforms LIST] [-label KEY=VALUE] NAME:TAG OUT.tar /PATH=FILE...")
		os.Exit(2)
	}
	image.name, image.files = flag.Arg(0), flag.Args()[2:]
	image.platforms = strings.Split(*platforms, ",")
	if err := image.write(flag.Arg(1)); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

// An image is what the command line asks for.
type image struct {
	name      string // with a tag
	cmd       string
	labels    map[string]string
	platforms []string // OS/ARCH
	files     []string // /PATH=FILE
}

// layer returns the files of one platform, and which of them is the program.
func (i *image) layer(goos, arch string) (files []file, program string, err error) {
	for _, f := range i.files {
		inside, outside, ok := strings.Cut(f, "=")
		if !ok || !path.IsAbs(inside) {
			return nil, "", fmt.Errorf("file %q: want /PATH=FILE", f)
		}
		data, err := os.ReadFile(strings.NewReplacer("{os}", goos, "{arch}", arch).Replace(outside))
		if err != nil {
			return nil, "", err
		}
		e := file{strings.TrimPrefix(path.Clean(inside), "/"), 0o644, data}
		if program == "" {
			program, e.mode = inside, 0o755
		}
		files = append(files, e)
	}
	return files, program, nil
}
