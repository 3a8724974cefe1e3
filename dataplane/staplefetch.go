package dataplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"

	"github.com/cardea-dev/cardea/dataplane/ocsp"
)

var errRanOut = errors.New("dataplane: the response has run out, and there is no other")

// newFetch returns a function that asks OCSP responders by POST (RFC 6960 §A.1).
// Their URLs are in certificates, which tenants choose: connections are made by
// dial, which checks addresses, no redirect is followed, and nothing is kept open.
func newFetch(dial func(ctx context.Context, addr string) (net.Conn, error)) fetchFunc {
	client := &http.Client{
		Transport: &http.Transport{
			DialContext:            func(ctx context.Context, _, addr string) (net.Conn, error) { return dial(ctx, addr) },
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: 16 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return func(ctx context.Context, url string, request []byte) ([]byte, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(request))
		if err != nil {
			return nil, fmt.Errorf("dataplane: OCSP responder %q: %w", url, err)
		}
		r.Header.Set("Content-Type", "application/ocsp-request")
		r.Header.Set("Accept", "application/ocsp-response")
		res, err := client.Do(r)
		if err != nil {
			return nil, fmt.Errorf("dataplane: OCSP responder: %w", err)
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("dataplane: OCSP responder %q answers %s", url, res.Status)
		}
		der, err := io.ReadAll(io.LimitReader(res.Body, ocsp.MaxResponse+1))
		if err != nil {
			return nil, fmt.Errorf("dataplane: OCSP responder %q: %w", url, err)
		}
		return der, nil
	}
}

// Staples returns the figures of OCSP stapling; nothing where it is off.
func (d *DataPlane) Staples() Staples {
	if d.stapler == nil {
		return Staples{}
	}
	d.stapler.mu.Lock()
	defer d.stapler.mu.Unlock()
	f := d.stapler.figures
	f.Certificates, f.Unstapled, f.Fetches = maps.Clone(f.Certificates), maps.Clone(f.Unstapled), maps.Clone(f.Fetches)
	return f
}
