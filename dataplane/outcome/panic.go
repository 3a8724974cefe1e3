package outcome

import (
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
)

// Panics logs panics that were recovered: each place once, with its stack, so that
// a bug that every connection meets fills no disk. The zero value is ready; it is
// safe for concurrent use.
type Panics struct{ seen sync.Map }

// Log logs v under the message, unless its place was logged before. It is called by
// the deferred function that recovered v, while the stack that panicked is there.
func (p *Panics) Log(log *slog.Logger, message string, v any) {
	site := panicSite()
	if _, again := p.seen.LoadOrStore(site, true); again {
		return
	}
	log.Error(message+"; the same place is not logged again",
		slog.Any("panic", v), slog.String("site", site), slog.String("stack", string(debug.Stack())))
}

// panicSite returns the function and line that panicked.
func panicSite() string {
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(0, pcs[:])])
	panicking := false
	for {
		f, more := frames.Next()
		if panicking && !strings.HasPrefix(f.Function, "runtime.") {
			return fmt.Sprintf("%s:%d", f.Function, f.Line)
		}
		panicking = panicking || f.Function == "runtime.gopanic"
		if !more {
			return "unknown"
		}
	}
}
