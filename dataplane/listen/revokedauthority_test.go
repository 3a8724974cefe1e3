package listen

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// crl is a list of ca that is current, in PEM.
func (ca *authority) crl(revoked ...int64) []byte {
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour)}
	for _, n := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(n), RevocationTime: time.Now()})
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: must(x509.CreateRevocationList(rand.Reader, list, ca.cert, ca.key))})
}

func (ca *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})
}

// TestRow54RevokedAuthority: an intermediate that is itself among the authorities
// ends a chain, so that no chain need lead up to the root that has revoked it. What
// the root says of it counts all the same, whether or not the client sends it along.
func TestRow54RevokedAuthority(t *testing.T) {
	root := newClientCA("root", nil)
	middle := newClientCA("middle", root)
	bundle := bytes.Join([][]byte{root.pem(), middle.pem()}, nil)
	short, long := middle.client(nil), middle.client(nil, middle)
	revoking := root.crl(middle.cert.SerialNumber.Int64())
	for _, tt := range []struct {
		name           string
		crl, operators []byte
		want           outcome.Reason
	}{
		{"clean", bytes.Join([][]byte{root.crl(), middle.crl()}, nil), nil, outcome.OK},
		{"revoked", bytes.Join([][]byte{revoking, middle.crl()}, nil), nil, outcome.ClientCertRevoked},
		{"revoked by a list of the operator", nil, revoking, outcome.ClientCertRevoked},
		{"no list of the root", middle.crl(), nil, outcome.ClientCertUnchecked},
	} {
		demand := &snapshot.ClientAuth{Authorities: must(snapshot.ParseAuthorities(snapshot.Origin{}, bundle, tt.crl)), Depth: 2}
		if tt.operators != nil {
			demand.RevocationLists = must(snapshot.ParseRevocationLists([]string{"crl"}, [][]byte{tt.operators}))
		}
		for form, cert := range map[string]*tls.Certificate{"leaf alone": &short, "leaf and intermediate": &long} {
			t.Run(tt.name+", "+form, func(t *testing.T) {
				w := newWorld(t, nil)
				w.publish(guarded(demand))
				// The outcome tells; what the client sees depends on the version.
				_, _ = w.visit(client("ec.example.com", presenting(tls.VersionTLS13, cert)))
				h := w.handshake()
				w.conn()
				if h.Reason != tt.want {
					t.Errorf("reason %s (%s), want %s", h.Reason, h.Err, tt.want)
				}
			})
		}
	}
}
