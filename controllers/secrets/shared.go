package secrets

import (
	"runtime"
	"sync"
	"weak"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// parsed shares authorities of the same content: whoever distributes a bundle puts it
// into every namespace, and one of 140 authorities takes 700 KiB. It keeps none alive
// that nobody else holds, and is safe for concurrent use.
type parsed struct {
	mu       sync.Mutex
	byDigest map[string]weak.Pointer[snapshot.Authorities]
}

// parse returns the authorities in a content, whose digest is given, as those of
// origin. As long as its caller holds original, others share what it is made of.
func (p *parsed) parse(origin snapshot.Origin, digest string, caPEM, crlPEM []byte) (good, original *snapshot.Authorities, err error) {
	p.mu.Lock()
	original = p.byDigest[digest].Value()
	p.mu.Unlock()
	if original != nil {
		return original.From(origin), original, nil
	}
	// Two that are read at once are parsed twice, which is better than waiting.
	if original, err = snapshot.ParseAuthorities(origin, caPEM, crlPEM); err != nil {
		return nil, nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byDigest == nil {
		p.byDigest = make(map[string]weak.Pointer[snapshot.Authorities])
	}
	p.byDigest[digest] = weak.Make(original)
	runtime.AddCleanup(original, p.forget, digest)
	return original, original, nil
}

// forget drops the entry of a digest, unless there is a newer one.
func (p *parsed) forget(digest string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byDigest[digest].Value() == nil {
		delete(p.byDigest, digest)
	}
}
