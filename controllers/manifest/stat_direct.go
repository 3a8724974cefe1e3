//go:build linux && (amd64 || arm64)

package manifest

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// statAt is fstatat(2): it follows links, as those of ConfigMap volumes. name ends
// with a zero. Unlike the functions that take a string it leaves nothing behind.
func statAt(dir int, name []byte, s *unix.Stat_t) error {
	for {
		_, _, errno := syscall.Syscall6(unix.SYS_NEWFSTATAT, uintptr(dir), uintptr(unsafe.Pointer(&name[0])), uintptr(unsafe.Pointer(s)), 0, 0, 0)
		switch errno {
		case 0:
			return nil
		case syscall.EINTR:
		default:
			return errno
		}
	}
}
