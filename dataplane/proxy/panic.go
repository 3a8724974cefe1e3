package proxy

import (
	"fmt"

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

// logPanic is called while the panicking stack is still there.
func (p *Proxy) logPanic(v any) { p.panics.Log(p.log, "panic in an exchange", v) }
