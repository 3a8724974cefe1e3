package annotation

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The bounds of what a value may ask for.
const (
	maxSeconds = 365 * 24 * 60 * 60
	maxCount   = 100
)

func parseBool(field func(*Settings) *bool) func(*Settings, string) error {
	return func(s *Settings, value string) error {
		b, err := strconv.ParseBool(value)
		if err != nil {
			return fmt.Errorf(`want "true" or "false", found %s`, Quote(value))
		}
		*field(s) = b
		return nil
	}
}

func parseSeconds(field func(*Settings) *time.Duration) func(*Settings, string) error {
	return func(s *Settings, value string) error {
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 || n > maxSeconds {
			return fmt.Errorf("want whole seconds from 1 to %d without a unit, found %s", maxSeconds, Quote(value))
		}
		*field(s) = time.Duration(n) * time.Second
		return nil
	}
}

func parseCount(field func(*Settings) *int) func(*Settings, string) error {
	return func(s *Settings, value string) error {
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 || n > maxCount {
			return fmt.Errorf("want a whole number from 1 to %d, found %s", maxCount, Quote(value))
		}
		*field(s) = n
		return nil
	}
}

// parseSecret keeps the name as it is written: whose Secret it may be is for the
// reader of the Ingress to judge.
func parseSecret(field func(*Settings) *string) func(*Settings, string) error {
	return parseName("Secret", field)
}

// parseConfigMap is parseSecret for a ConfigMap.
func parseConfigMap(field func(*Settings) *string) func(*Settings, string) error {
	return parseName("ConfigMap", field)
}

func parseName(kind string, field func(*Settings) *string) func(*Settings, string) error {
	return func(s *Settings, value string) error {
		if value == "" {
			return fmt.Errorf("want the name of a %s, found none", kind)
		}
		*field(s) = value
		return nil
	}
}

// parseDepth reads how many certificates may be in between, from 0. The field
// holds one more, so that 0 is that it is not set.
func parseDepth(field func(*Settings) *int) func(*Settings, string) error {
	return func(s *Settings, value string) error {
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 || n > maxCount {
			return fmt.Errorf("want a whole number from 0 to %d, found %s", maxCount, Quote(value))
		}
		*field(s) = n + 1
		return nil
	}
}

// A NameList is names with commas between them, and so comparable.
type NameList string

// Names returns the names, one by one.
func (l NameList) Names() []string {
	if l == "" {
		return nil
	}
	return strings.Split(string(l), ",")
}

// parseNames reads a list of names of which normal returns the normal form, if it
// is one of those that are wanted.
func parseNames(field func(*Settings) *NameList, wanted string, normal func(string) (string, bool)) func(*Settings, string) error {
	return func(s *Settings, value string) error {
		var names []string
		for part := range strings.SplitSeq(value, ",") {
			name, ok := normal(strings.TrimSpace(part))
			if !ok {
				return fmt.Errorf("want %s with commas between them, found %s", wanted, Quote(value))
			}
			names = append(names, name)
		}
		*field(s) = NameList(strings.Join(names, ","))
		return nil
	}
}

// parseSize reads nginx's sizes: digits and one of the units k, m, g (b for
// bytes), in either case.
func parseSize(field func(*Settings) *int64) func(*Settings, string) error {
	return func(s *Settings, value string) error {
		n, ok := size(value)
		if !ok {
			return fmt.Errorf(`want a size such as "512k", "8m" or "0", found %s`, Quote(value))
		}
		*field(s) = n
		return nil
	}
}

func size(value string) (int64, bool) {
	digits := strings.TrimRight(value, "bBkKmMgG")
	unit := int64(1)
	switch strings.ToLower(value[len(digits):]) {
	case "", "b":
	case "k":
		unit = 1 << 10
	case "m":
		unit = 1 << 20
	case "g":
		unit = 1 << 30
	default:
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || int64(n) > math.MaxInt64/unit {
		return 0, false
	}
	return int64(n) * unit, true
}

var hsts = regexp.MustCompile(`^max-age=[0-9]{1,10}(; includeSubDomains)?(; preload)?$`)

// parseHSTS reads the value of Strict-Transport-Security in the one form in which
// it is sent, or "off".
func parseHSTS(s *Settings, value string) error {
	if value != "off" && !hsts.MatchString(value) {
		return fmt.Errorf(`want "max-age=SECONDS", with "; includeSubDomains" and "; preload" behind it if wanted, or "off", found %s`, Quote(value))
	}
	s.HSTS = value
	return nil
}

// parseProtocol reads backend-protocol. nginx has more words; what it does for
// them Cardea does not do.
func parseProtocol(s *Settings, value string) error {
	switch strings.ToUpper(value) {
	case "AUTO":
		s.Backend = ProtocolAuto
	case "HTTP":
		s.Backend = ProtocolHTTP
	case "GRPC":
		s.Backend = ProtocolGRPC
	case "HTTPS":
		s.Backend = ProtocolHTTPS
	case "GRPCS":
		s.Backend = ProtocolGRPCS
	default:
		return fmt.Errorf("want AUTO, HTTP, HTTPS, GRPC or GRPCS, found %s", Quote(value))
	}
	return nil
}
