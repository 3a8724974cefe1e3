package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

const (
	echSecretFlag = "ech-secret"
	// echCurrent is the entry of the Secret whose key clients are told of.
	echCurrent = "ech.pem"
	// echSuffix is that of the entries with keys.
	echSuffix = ".pem"
	// maxECHKeys bounds the keys: every ClientHello that is for none of them is
	// decrypted with each.
	maxECHKeys = 8
)

// parseECHKeys parses keys of Encrypted ClientHello, the current one first. names
// say where each is from.
func parseECHKeys(names []string, content [][]byte) (*snapshot.ECHKeys, error) {
	if len(content) > maxECHKeys {
		return nil, fmt.Errorf("%d keys of ECH, at most %d are served", len(content), maxECHKeys)
	}
	keys := new(snapshot.ECHKeys)
	for i, data := range content {
		key, err := snapshot.ParseECHKey(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", names[i], err)
		}
		if i == 0 {
			keys.Current = key
		} else {
			keys.Others = append(keys.Others, key)
		}
	}
	return keys, nil
}

// loadECHKeys takes in the content of --ech-key-file.
func (p *process) loadECHKeys(content [][]byte) error {
	keys, err := parseECHKeys(p.echKeyFiles, content)
	if err != nil {
		return err
	}
	if p.board == nil { // the first time
		p.echKeys = keys
		return nil
	}
	return p.serveECH(keys)
}

// serveECH puts keys in force.
func (p *process) serveECH(keys *snapshot.ECHKeys) error {
	if err := p.board.Publish(snapshot.Update{ECH: keys}); err != nil {
		return err
	}
	var others []string
	for _, k := range keys.Others {
		others = append(others, k.ID())
	}
	p.log.Info("the keys of Encrypted ClientHello are in force", "current", keys.Current.ID(), "others", others, "public_names", keys.PublicNames())
	return nil
}

// An echFollower serves the keys in one Secret. A Secret that is gone or cannot be
// used leaves the keys in force that are: clients know of them for as long as DNS
// says so.
type echFollower struct {
	secretPoll
	process *process
	// inForce is the version of the Secret that was taken in or refused last, told
	// the problem that was logged last.
	inForce, told string
}

// followECHSecret serves the Secret of --ech-secret.
func (s *clusterSettings) followECHSecret(ctx context.Context, p *process, config *rest.Config) {
	if s.echSecretName.Name == "" {
		return
	}
	c, err := newClient(config)
	if err != nil {
		p.log.Error("the keys of Encrypted ClientHello cannot be read", "secret", s.echSecret, "error", err.Error())
		return
	}
	newECHFollower(s.echSecretName, p, c).run(ctx)
}

func newECHFollower(name types.NamespacedName, p *process, c client.Client) *echFollower {
	f := &echFollower{process: p}
	f.secretPoll = secretPoll{c, name, f.serve}
	return f
}

// serve takes in what a read of the Secret came to.
func (f *echFollower) serve(s *corev1.Secret, err error) {
	if err == nil {
		if s.ResourceVersion == f.inForce {
			return
		}
		if err = f.serveKeys(s.Data); err == nil {
			f.inForce, f.told = s.ResourceVersion, ""
			f.process.fileMetrics.took(echSecretFlag)
			return
		}
	}
	if text := err.Error(); text != f.told {
		f.told = text
		f.process.fileMetrics.failed(echSecretFlag, "invalid")
		f.process.log.Error("the Secret with the keys of Encrypted ClientHello cannot be used; those in force stay in force",
			"secret", f.name.String(), "error", text)
	}
}

func (f *echFollower) serveKeys(data map[string][]byte) error {
	keys, err := echKeysOf(data)
	if err != nil {
		return err
	}
	return f.process.serveECH(keys)
}

// echKeysOf parses the content of the Secret: ech.pem is the current key, other
// entries *.pem are further ones.
func echKeysOf(data map[string][]byte) (*snapshot.ECHKeys, error) {
	if len(data[echCurrent]) == 0 {
		return nil, errors.New("it has no entry " + echCurrent)
	}
	names, content := []string{echCurrent}, [][]byte{data[echCurrent]}
	for _, name := range slices.Sorted(maps.Keys(data)) {
		if strings.HasSuffix(name, echSuffix) && name != echCurrent {
			names, content = append(names, name), append(content, data[name])
		}
	}
	return parseECHKeys(names, content)
}
