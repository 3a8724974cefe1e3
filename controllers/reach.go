package controllers

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
)

// reach knows whether the API server answers. Informers try again and again by
// themselves and keep to themselves why they have to, so that it is seen where
// all requests pass: at the transport.
//
// Informers also wait up to a minute between two attempts. reach asks once a
// second and tells when an outage is over, so that a new session can begin.
type reach struct {
	log logr.Logger
	// changed, if set, is told whether the API server answers: of the first request,
	// and whenever that changes.
	changed func(answers bool)
	// ready, if set, says whether there is something published to serve.
	ready func() bool
	// began and back get a value when an outage begins, and when one is over that
	// lasted.
	began, back chan struct{}

	mu    sync.Mutex
	asked bool
	err   string
	since time.Time
}

const (
	probeEvery = time.Second
	// outageMin is the time from which on an outage is worth a new session. One
	// server of several that goes away is none.
	outageMin = 3 * time.Second
)

func newReach(log logr.Logger, changed func(bool)) *reach {
	return &reach{log: log, changed: changed, began: make(chan struct{}, 1), back: make(chan struct{}, 1)}
}

// watch makes every request with config tell r how it went.
func (r *reach) watch(config *rest.Config) {
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return tripper(func(request *http.Request) (*http.Response, error) {
			response, err := next.RoundTrip(request)
			if err == nil || !errors.Is(request.Context().Err(), context.Canceled) {
				r.note(err, time.Now())
			}
			return response, err
		})
	})
}

type tripper func(*http.Request) (*http.Response, error)

func (t tripper) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

// note takes in how a request went: whether there was any response.
func (r *reach) note(err error, now time.Time) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	r.mu.Lock()
	first, before, since := !r.asked, r.err, r.since
	r.asked, r.err = true, text
	if before == "" {
		r.since = now
	}
	r.mu.Unlock()
	if r.changed != nil && (first || (before == "") != (text == "")) {
		r.changed(text == "")
	}
	switch {
	case before == "" && text != "":
		if r.ready == nil || r.ready() {
			r.log.Info("the API server does not answer; what was published is served on", "error", text)
		} else {
			r.log.Info("not ready: the cluster has not been read yet, and the API server does not answer", "error", text)
		}
		signal(r.began)
	case before != "" && text == "":
		r.log.Info("the API server answers again", "after", now.Sub(since).Round(time.Millisecond).String())
		if now.Sub(since) >= outageMin {
			signal(r.back)
		}
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// trouble is why the API server does not answer, "" if it does.
func (r *reach) trouble() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// run asks the API server, while it does not answer, until ctx ends.
func (r *reach) run(ctx context.Context, probe func(context.Context)) {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.began:
		}
		for r.trouble() != "" {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if r.trouble() != "" {
				probe(ctx)
			}
		}
	}
}

// newProbe returns a function that asks the API server whether it is ready; its
// transport notes the answer.
func newProbe(config *rest.Config) (func(context.Context), error) {
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	url, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, err
	}
	url = url.JoinPath("/readyz")
	return func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url.String(), nil)
		if err != nil {
			return
		}
		if response, err := client.Do(request); err == nil {
			_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<16))
			response.Body.Close()
		}
	}, nil
}
