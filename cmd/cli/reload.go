package cli

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// reloadLimit bounds one reload.
const reloadLimit = 30 * time.Second

// A reloaded says what one reload found.
type reloaded struct {
	lines  []string
	failed bool
}

func (r *reloaded) add(failed bool, format string, args ...any) {
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
	r.failed = r.failed || failed
}

// reload reads every file again, those that flags name and those of the folder of
// manifests, and says what changed and what failed. What failed leaves what was
// there before in service.
func (p *process) reload(ctx context.Context) reloaded {
	ctx, cancel := context.WithTimeout(ctx, reloadLimit)
	defer cancel()
	var r reloaded
	for _, f := range p.files.Reload(ctx) {
		if f.Err != nil {
			r.add(true, "--%s: %s: %v", f.Set, f.Reason, f.Err)
		} else {
			r.add(false, "--%s: %s", f.Set, f.Reason)
		}
	}
	if p.reread != nil {
		p.reread(ctx, &r)
	}
	if len(r.lines) == 0 {
		r.add(false, "no file is followed: objects come from the cluster, and it tells of changes by itself")
	}
	return r
}

// reloadOnHangup makes SIGHUP mean what POST /-/reload means; the log is the
// answer.
func (p *process) reloadOnHangup(ctx context.Context) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			r := p.reload(ctx)
			p.log.Info("read every file again", "failed", r.failed, "result", strings.Join(r.lines, "; "))
		}
	}
}

// debugReload answers POST /-/reload: 200, or 500 if something failed, with a line
// for everything that was looked at.
func (p *process) debugReload(w http.ResponseWriter, r *http.Request) {
	result := p.reload(r.Context())
	if text := strings.Join(result.lines, "\n"); result.failed {
		http.Error(w, text, http.StatusInternalServerError)
	} else {
		reply(w, text)
	}
}

// followFiles follows the files that flags name, unless that is turned off.
func (p *process) followFiles(ctx context.Context) {
	if p.tlsReload {
		p.files.Run(ctx)
	}
}
