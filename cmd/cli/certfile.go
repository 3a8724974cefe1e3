package cli

import (
	"context"
	"crypto/sha256"
	"os"
	"time"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// certFileInterval is how often the files of the default certificate are looked
// at. They are two and small: looking is cheaper than to be told of changes in
// every way in which files are swapped.
const certFileInterval = time.Second

// followDefaultCertificate serves the default certificate anew whenever its files
// hold another pair. A pair that does not parse is told once, when it has stood
// still for one interval: the two files are not written at the same time. The one
// before stays in service.
func (p *process) followDefaultCertificate(ctx context.Context) {
	if p.defaultCert == "" {
		return
	}
	tick := time.NewTicker(certFileInterval)
	defer tick.Stop()
	tried := hashFiles(p.defaultCert, p.defaultKey)
	seen := tried
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		last := seen
		if seen = hashFiles(p.defaultCert, p.defaultKey); seen == tried {
			continue
		}
		c, err := loadCertificate(p.defaultCert, p.defaultKey)
		if err == nil {
			tried = seen
			p.serveDefaultCertificate(c)
		} else if seen == last {
			tried = seen
			p.log.Error("the new default certificate cannot be used; the last one stays in service", "error", err.Error())
		}
	}
}

func (p *process) serveDefaultCertificate(c *snapshot.Certificate) {
	if err := p.board.setDefaultCertificate(c); err != nil {
		p.log.Error("the table was refused; the last one stays in service", "error", err.Error())
		return
	}
	if c == nil {
		p.log.Warn("there is no default certificate any more")
		return
	}
	p.log.Info("new default certificate", "certificate", c.ID(), "until", c.Leaf().NotAfter)
}

func hashFiles(names ...string) [sha256.Size]byte {
	h := sha256.New()
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			content = []byte(err.Error())
		}
		sum := sha256.Sum256(content)
		h.Write(sum[:])
	}
	return [sha256.Size]byte(h.Sum(nil))
}
