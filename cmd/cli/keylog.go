package cli

import (
	"crypto/fips140"
	"errors"
	"fmt"
	"log/slog"
	"os"
)

// keyLogVariable names the file that the secrets of TLS sessions are written to.
const keyLogVariable = "SSLKEYLOGFILE"

// A keyLog is the file that --tls-keylog writes to, in the NSS key log format,
// which Wireshark reads. Whoever has the file can read the recorded traffic, so it
// takes a flag and the environment variable to have one. A nil keyLog is none.
type keyLog struct {
	*os.File
	downstream, upstream bool
}

// checkKeyLog returns an error about --tls-keylog.
func (s *settings) checkKeyLog() error {
	switch s.tlsKeyLog {
	case "off":
		return nil
	case "downstream", "upstream", "both":
	default:
		return usage("--tls-keylog %q: want off, downstream, upstream or both", s.tlsKeyLog)
	}
	if os.Getenv(keyLogVariable) == "" {
		return usage("--tls-keylog %s: the environment variable %s has to name a file, too", s.tlsKeyLog, keyLogVariable)
	}
	if fips140.Enforced() {
		return usage("--tls-keylog %s: not with GODEBUG=fips140=only: keys must not leave the module", s.tlsKeyLog)
	}
	return nil
}

// openKeyLog opens the file, nil if none is asked for, and warns.
//
// crypto/tls writes each line with one call, one at a time, and the file is opened
// for appending, so that lines stay whole also when two processes share it.
func (s *settings) openKeyLog(log *slog.Logger) (*keyLog, error) {
	if s.tlsKeyLog == "off" {
		return nil, nil
	}
	name := os.Getenv(keyLogVariable)
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, unreadable(fmt.Errorf("--tls-keylog: %w", err))
	}
	if err := private(f); err != nil {
		return nil, unreadable(fmt.Errorf("--tls-keylog: %w", errors.Join(err, f.Close())))
	}
	log.Warn("THE SECRETS OF TLS SESSIONS ARE WRITTEN TO A FILE: whoever has it reads the traffic", "tls_keylog", s.tlsKeyLog, "file", name)
	return &keyLog{
		File:       f,
		downstream: s.tlsKeyLog != "upstream",
		upstream:   s.tlsKeyLog != "downstream",
	}, nil
}

// private returns an error if others than the owner may read f.
func private(f *os.File) error {
	info, err := f.Stat()
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no regular file", f.Name())
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("%s has the mode %#o, want 0600: others may read it", f.Name(), info.Mode().Perm())
	}
	return nil
}

func (k *keyLog) close() {
	if k != nil {
		// What is lost by an error here is a debugging aid.
		_ = k.File.Close()
	}
}
