package cli

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/cardea-dev/cardea/controllers/manifest"
	"github.com/cardea-dev/cardea/controllers/translate"
)

func newServe() *cobra.Command {
	var s settings
	var dir string
	cmd := &cobra.Command{
		Use:   "serve --manifests DIR",
		Short: "Serve a folder of Kubernetes YAML.",
		Long: text(`
			Serve the Ingresses in a folder of Kubernetes YAML, with the Services,
			EndpointSlices, TLS Secrets and IngressClasses beside them, as a cluster would.

			The folder is watched: a change is served within a fraction of a second. What is
			malformed is told in the log with file and line; everything else, and the last
			good version of the malformed objects, stays in service.

			Ingresses count whose class is that of --class, unless IngressClass objects in
			the folder say otherwise. EndpointSlices may name loopback addresses.

			Access log and handshake log go to the standard output, the program's own log to
			the standard error. SIGHUP, or POST /-/reload on --debug-addr, rereads every file.`),
		Example: text(`
			cardea serve --manifests ./manifests
			cardea serve --manifests /etc/cardea --http-addr :80 --https-addr :443 --log-format text`),
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dir == "" {
				return usage("--manifests is required")
			}
			p, err := s.open(cmd, processOptions{allowLoopback: true})
			if err != nil {
				return err
			}
			return p.serveFolder(cmd.Context(), dir, func() {})
		},
	}
	cmd.Flags().StringVar(&dir, "manifests", "", "Folder of *.yaml, *.yml and *.json files to serve.")
	s.bind(cmd.Flags())
	return cmd
}

// serveFolder runs p on a folder. It calls live when the first table is in force.
func (p *process) serveFolder(ctx context.Context, dir string, live func()) error {
	folder := manifest.NewFolder(dir)
	set, err := folder.Read()
	if err != nil {
		p.close()
		return unreadable(err)
	}
	f := &follower{feed: newFeed(p.options(), p.board), log: p.log, verdicts: &p.verdicts}
	p.observer.SetLastGood(f.lastGood)
	return p.run(ctx, func(ctx context.Context) {
		f.take(set)
		live()
		f.follow(ctx, folder, p.reread)
	})
}

// A follower feeds the data plane from a folder, and tells the log what is wrong
// with it.
type follower struct {
	*feed
	log      *slog.Logger
	verdicts *verdictBox

	set  manifest.Set
	told told
}

// follow goes on until ctx is done.
func (f *follower) follow(ctx context.Context, folder *manifest.Folder, reread <-chan struct{}) {
	sets := make(chan manifest.Set)
	done := make(chan struct{})
	go func() {
		defer close(done)
		folder.Watch(ctx, reread, func(s manifest.Set) {
			select {
			case sets <- s:
			case <-ctx.Done():
			}
		})
	}()
	defer func() { <-done }()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if next := f.next(); next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(next))
		}
		select {
		case <-ctx.Done():
			return
		case s := <-sets:
			f.take(s)
		case <-timer.C:
			f.tell(f.pass(time.Now()))
		}
	}
}

// take serves s.
func (f *follower) take(s manifest.Set) {
	changed, gone := manifest.Diff(f.set, s)
	f.set = s
	f.tell(f.apply(changed, gone, s.Since, time.Now()))
}

// tell logs what is new among problems and verdicts.
func (f *follower) tell(err error) {
	if err != nil {
		f.log.Error("the table was refused; the last one stays in service", "error", err.Error())
	}
	verdicts := slices.Concat(f.result.Verdicts, f.foreign(f.set.Objects))
	f.verdicts.Store(&verdicts)
	next := make(map[any]bool, len(f.set.Problems)+len(verdicts))
	for _, p := range f.set.Problems {
		next[p] = true
	}
	for _, v := range verdicts {
		next[v] = true
	}
	f.told.replace(f.log, next)
}

// told is the set of judgements that the log has been told, each a
// [manifest.Problem] or a [translate.Verdict].
type told map[any]bool

// replace logs those in next that are new, and those that are over.
func (t *told) replace(log *slog.Logger, next map[any]bool) {
	for j := range next {
		if !(*t)[j] {
			logJudgement(log, j, false)
		}
	}
	for j := range *t {
		if !next[j] {
			logJudgement(log, j, true)
		}
	}
	*t = next
}

func logJudgement(log *slog.Logger, judgement any, over bool) {
	level := slog.LevelInfo
	switch j := judgement.(type) {
	case manifest.Problem:
		place := j.File
		if j.Line > 0 {
			place = fmt.Sprintf("%s:%d", j.File, j.Line)
		}
		switch {
		case over:
			log.Info("repaired", "file", place, "object", j.Object, "was", j.Message)
			return
		case j.Level == manifest.Error:
			level = slog.LevelError
		case j.Level == manifest.Warning:
			level = slog.LevelWarn
		}
		log.Log(context.Background(), level, j.String(), "file", place, "object", j.Object, "field", j.Field)
	case translate.Verdict:
		switch {
		case over:
			log.Info("settled", "object", j.Origin.String(), "reason", j.Reason, "was", j.Message)
			return
		case j.Level != translate.Info:
			level = slog.LevelWarn
		}
		log.Log(context.Background(), level, j.Message, "verdict", j.Level.String(), "reason", j.Reason, "object", j.Origin.String())
	}
}
