package translate

import (
	"fmt"
	"time"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// Renewal happens long before a certificate ends: cert-manager begins with a third
// of the lifetime left. Two warnings say that it did not, the second one when
// there is little time left; the third verdict is that the certificate expired.
// Certificates of fewer than eight weeks are warned about later, in proportion, so
// that those of a few days are not warned about all their life.
const (
	day          = 24 * time.Hour
	firstWarning = 14 * day
	lastWarning  = 3 * day
	firstShare   = 4  // of the lifetime
	lastShare    = 16 // of the lifetime
)

// expiring returns how little time the certificate has left by its stage, 0 if it
// has enough, and when the next stage begins. now is not after notAfter.
func expiring(cert *snapshot.Certificate, now time.Time) (left time.Duration, next time.Time) {
	lifetime := cert.NotAfter.Sub(cert.NotBefore)
	for _, stage := range []time.Duration{
		min(firstWarning, lifetime/firstShare),
		min(lastWarning, lifetime/lastShare),
	} {
		if begin := cert.NotAfter.Add(-stage); now.Before(begin) {
			return left, begin
		}
		left = stage
	}
	// It is expired from the first instant after notAfter.
	return left, cert.NotAfter.Add(time.Nanosecond)
}

// span returns a stage in words: "14 days", "36 hours", "45 minutes".
func span(d time.Duration) string {
	switch {
	case d >= 2*day:
		return fmt.Sprintf("%d days", (d+day/2)/day)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", (d+time.Hour/2)/time.Hour)
	}
	return fmt.Sprintf("%d minutes", (d+time.Minute/2)/time.Minute)
}
