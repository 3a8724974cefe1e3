//go:build linux && !amd64 && !arm64

package manifest

import "golang.org/x/sys/unix"

// statAt is fstatat(2): it follows links, as those of ConfigMap volumes. name ends
// with a zero.
func statAt(dir int, name []byte, s *unix.Stat_t) error {
	for {
		if err := unix.Fstatat(dir, string(name[:len(name)-1]), s, 0); err != unix.EINTR {
			return err
		}
	}
}
