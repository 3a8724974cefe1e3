package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/cardea-dev/cardea/controllers/manifest"
	"github.com/cardea-dev/cardea/controllers/translate"
)

// A follower feeds the data plane from a folder, and tells the log what is wrong
// with it.
type follower struct {
	*feed
	log      *slog.Logger
	verdicts *verdictBox
	// reread asks for a look into every file; the func is called when what it found
	// is in force.
	reread chan func()
	// work is done between the changes of the folder.
	work chan func()
	told told

	problems []manifest.Problem // as of the last Set

	mu   sync.Mutex // guards sums
	sums sums
}

// sums count what was taken so far, for those who ask what a reload changed.
type sums struct {
	changed, gone int
	problems      []manifest.Problem
	err           error
}

func newFollower(p *process, folder *manifest.Folder) *follower {
	f := &follower{
		feed:     newFeed(p.options(), p.board),
		log:      p.log,
		verdicts: &p.verdicts,
		reread:   make(chan func()),
		work:     make(chan func()),
	}
	f.fresh = folder.Secret
	return f
}

// follow goes on until ctx is done.
func (f *follower) follow(ctx context.Context, folder *manifest.Folder) {
	var watching sync.WaitGroup
	defer watching.Wait()
	watching.Go(func() {
		folder.Watch(ctx, f.reread, func(s manifest.Set) {
			done := make(chan struct{})
			select {
			case f.work <- func() { f.take(s); close(done) }:
			case <-ctx.Done():
				return
			}
			<-done
		})
	})
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
		case do := <-f.work:
			do()
		case <-timer.C:
			f.tell(f.pass(time.Now()))
		}
	}
}

// take serves s.
func (f *follower) take(s manifest.Set) {
	f.problems = s.Problems
	err := f.apply(s.Changed, s.Gone, s.Since, time.Now())
	f.tell(err)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sums.changed += len(s.Changed)
	f.sums.gone += len(s.Gone)
	f.sums.problems, f.sums.err = s.Problems, err
}

// setFiles puts what files of the operator say in force, unless closing comes first.
func (f *follower) setFiles(files translate.Files, closing <-chan struct{}) error {
	result := make(chan error, 1)
	set := func() {
		f.translator.SetFiles(files)
		now := time.Now()
		err := f.publish(now, now)
		f.tell(err)
		result <- err
	}
	select {
	case f.work <- set:
		return <-result
	case <-closing:
		return errors.New("the program is ending")
	}
}

// readAgain looks into every file of the folder and says what that changed.
func (f *follower) readAgain(ctx context.Context, r *reloaded) {
	before := f.counted()
	done := make(chan struct{})
	select {
	case f.reread <- func() { close(done) }:
	case <-ctx.Done():
		r.add(true, "manifests: %v", ctx.Err())
		return
	}
	select {
	case <-done:
	case <-ctx.Done():
		r.add(true, "manifests: %v", ctx.Err())
		return
	}
	now := f.counted()
	changed, gone := now.changed-before.changed, now.gone-before.gone
	if changed+gone == 0 {
		r.add(false, "manifests: unchanged")
	} else {
		r.add(false, "manifests: changed: %d objects new or changed, %d gone", changed, gone)
	}
	for _, p := range now.problems {
		if p.Level == manifest.Error {
			r.add(true, "manifests: %s", p)
		}
	}
	if now.err != nil {
		r.add(true, "manifests: %v", now.err)
	}
}

func (f *follower) counted() sums {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sums
}

// tell logs what is new among problems and verdicts.
func (f *follower) tell(err error) {
	if err != nil {
		f.log.Error("the table was refused; the last one stays in service", "error", err.Error())
	}
	verdicts := slices.Concat(f.result.Verdicts, f.foreign.judge(f.result.Ingresses))
	f.verdicts.Store(&verdicts)
	next := make(map[any]bool, len(f.problems)+len(verdicts))
	for _, p := range f.problems {
		next[p] = true
	}
	for _, v := range verdicts {
		if !v.Reason.Advice() {
			next[v] = true
		}
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
		about := []any{"file", place}
		if j.Object != "" {
			about = append(about, "object", j.Object)
		}
		if j.Field != "" {
			about = append(about, "field", j.Field)
		}
		log.Log(context.Background(), level, j.String(), about...)
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
