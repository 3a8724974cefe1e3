package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/cardea-dev/cardea/controllers/files"
	"github.com/cardea-dev/cardea/controllers/translate"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// This file is about the files that say what Ingresses leave open: whom to trust as
// a backend, what to show it, and what is revoked.

// operatorFiles are the files that flags name.
type operatorFiles struct {
	upstreamCA, upstreamCert, upstreamKey string
	revocationLists                       []string
}

const (
	upstreamCAFlag   = "upstream-ca-file"
	upstreamCertFlag = "upstream-client-cert"
	upstreamKeyFlag  = "upstream-client-key"
	crlFlag          = "crl-file"
)

func (o *operatorFiles) bind(f *pflag.FlagSet) {
	f.StringVar(&o.upstreamCA, upstreamCAFlag, "", "PEM file with the authorities to trust for backends whose Ingress names none, instead of those of the system.")
	f.StringVar(&o.upstreamCert, upstreamCertFlag, "", "PEM file with the certificate to show to backends that ask for one and whose Ingress names none.")
	f.StringVar(&o.upstreamKey, upstreamKeyFlag, "", "PEM file with the private key of --upstream-client-cert.")
	f.StringSliceVar(&o.revocationLists, crlFlag, nil, "Files with revocation lists, in PEM or DER, which count wherever a certificate of their issuers is verified: that of a client or of a backend.")
}

func (o *operatorFiles) check() error {
	if (o.upstreamCert == "") != (o.upstreamKey == "") {
		return usage("--%s and --%s go together", upstreamCertFlag, upstreamKeyFlag)
	}
	return nil
}

// operatorSets returns what of them is to be followed.
func (p *process) operatorSets() (sets []files.Set) {
	o := &p.settings.operatorFiles
	if o.upstreamCA != "" {
		sets = append(sets, files.Set{Name: upstreamCAFlag, Paths: []string{o.upstreamCA}, Load: p.loadUpstreamCA})
	}
	if o.upstreamCert != "" {
		sets = append(sets, files.Set{Name: upstreamCertFlag, Paths: []string{o.upstreamCert, o.upstreamKey}, Load: p.loadUpstreamCertificate})
	}
	if len(o.revocationLists) > 0 {
		sets = append(sets, files.Set{Name: crlFlag, Paths: o.revocationLists, Load: p.loadRevocationLists})
	}
	return sets
}

func fileOrigin(path string) snapshot.Origin { return snapshot.Origin{Kind: "File", Name: path} }

// loadUpstreamCA takes in the content of --upstream-ca-file.
func (p *process) loadUpstreamCA(content [][]byte) error {
	a, err := snapshot.ParseAuthorities(fileOrigin(p.settings.operatorFiles.upstreamCA), content[0], nil)
	if err != nil {
		return err
	}
	next := p.operator
	next.BackendAuthorities = a
	if err := p.serveOperator(next); err != nil {
		return err
	}
	p.log.Info("authorities of backends", "file", a.Origin.Name, "certificates", len(a.Certificates), "digest", a.Digest)
	return nil
}

// loadUpstreamCertificate takes in the content of --upstream-client-cert and
// --upstream-client-key.
func (p *process) loadUpstreamCertificate(content [][]byte) error {
	c, err := snapshot.ParseCertificate(fileOrigin(p.settings.operatorFiles.upstreamCert), content[0], content[1])
	if err != nil {
		return fileError(err, upstreamCertFlag, upstreamKeyFlag)
	}
	next := p.operator
	next.BackendCertificate = c
	if err := p.serveOperator(next); err != nil {
		return err
	}
	until := c.NotAfter
	p.fileMetrics.expires(upstreamCertFlag, until)
	p.log.Info("certificate for backends", "certificate", c.ID(), "until", until)
	if time.Now().After(until) {
		p.log.Warn("the certificate for backends has expired, and is shown to them all the same; renew it", "certificate", c.ID(), "until", until)
	}
	return nil
}

// loadRevocationLists takes in the content of --crl-file.
func (p *process) loadRevocationLists(content [][]byte) error {
	lists, err := snapshot.ParseRevocationLists(p.settings.operatorFiles.revocationLists, content)
	if err != nil {
		return err
	}
	next := p.operator
	next.RevocationLists = lists
	if err := p.serveOperator(next); err != nil {
		return err
	}
	renewal := lists.NextUpdate()
	p.fileMetrics.expires(crlFlag, renewal)
	p.log.Info("revocation lists", "lists", lists.Len(), "digest", lists.Digest, "until", renewal)
	if !renewal.IsZero() && time.Now().After(renewal) {
		p.log.Warn("a revocation list is out of date, and until it is renewed no certificate of its issuer is accepted", "until", renewal)
	}
	return nil
}

// serveOperator puts next in force. Files are loaded by one goroutine at a time.
func (p *process) serveOperator(next translate.Files) error {
	if p.setFiles != nil {
		if err := p.setFiles(next); err != nil {
			return err
		}
	}
	p.operator = next
	return nil
}

// fileError names flags where the parser of Secrets names keys.
func fileError(err error, cert, key string) error {
	return fmt.Errorf("%s", strings.NewReplacer("tls.crt", "--"+cert, "tls.key", "--"+key).Replace(err.Error()))
}

// options is how Kubernetes objects are translated, with what the files say.
func (p *process) options() translate.Options {
	o := p.settings.options()
	o.Files = p.operator
	return o
}
