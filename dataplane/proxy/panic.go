package proxy

import (
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// recovered is deferred: it turns a panic into the error of the one exchange in
// which it happened.
func (p *Proxy) recovered(x *Exchange, err **outcome.Error) {
	v := recover()
	if v == nil {
		return
	}
	x.panicked.Store(true)
	p.logPanic(v)
	*err = &outcome.Error{Side: outcome.Internal, Reason: outcome.Panic, Err: fmt.Errorf("panic: %v", v)}
}

// report hands the outcome over. A sink that panics costs its own report only.
func (p *Proxy) report(x *Exchange) {
	defer func() {
		if v := recover(); v != nil {
			p.logPanic(v)
		}
	}()
	p.sink(&x.out)
}

// panicSites remembers where panics came from, so that each place is logged with
// its stack once and not once a request.
type panicSites struct {
	mu   sync.Mutex
	seen map[string]bool
}

// logPanic is called while the panicking stack is still there.
func (p *Proxy) logPanic(v any) {
	site := panicSite()
	p.panics.mu.Lock()
	known := p.panics.seen[site]
	if p.panics.seen == nil {
		p.panics.seen = make(map[string]bool)
	}
	p.panics.seen[site] = true
	p.panics.mu.Unlock()
	if known {
		return
	}
	p.log.Error("panic in an exchange; the same place is not logged again",
		slog.Any("panic", v), slog.String("site", site), slog.String("stack", string(debug.Stack())))
}

// panicSite returns the function and line that panicked.
func panicSite() string {
	var pcs [32]uintptr
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
