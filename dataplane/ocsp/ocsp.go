// Package ocsp asks an authority whether a certificate is revoked (RFC 6960), as
// far as a server needs it that staples the answer: it makes the request for one
// certificate and verifies the response. It does no I/O, and its functions may be
// called from any goroutine.
//
// What is not here: nonces, which responses that are signed beforehand do not have
// (RFC 5019 §4), and more than one certificate in a request.
package ocsp

import (
	"bytes"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// A Status is what the authority says about a certificate.
type Status string

// The statuses of RFC 6960 §2.2.
const (
	Good    Status = "good"
	Revoked Status = "revoked"
	Unknown Status = "unknown"
)

// A Response is a response that was verified.
type Response struct {
	Status Status
	// The status is known to be true at ThisUpdate, and another response will be
	// there by NextUpdate.
	ThisUpdate, NextUpdate time.Time
}

// MaxResponse is the longest response that is of use, in bytes. Common ones have
// 300 to 3000, and every handshake carries it.
const MaxResponse = 32 << 10

// skew is how far the authority's clock may be ahead.
const skew = 5 * time.Minute

var (
	oidSHA1  = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
	oidBasic = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 1}
)

// The types of RFC 6960 §4.1.1 and §4.2.1.
type (
	certID struct {
		Hash                pkix.AlgorithmIdentifier
		NameHash, IssuerKey []byte
		Serial              *big.Int
	}
	requestItem struct{ Cert certID }
	tbsRequest  struct{ List []requestItem }
	request     struct{ TBS tbsRequest }

	responseBytes struct {
		Type     asn1.ObjectIdentifier
		Response []byte
	}
	response struct {
		Status asn1.Enumerated
		Bytes  responseBytes `asn1:"explicit,tag:0,optional"`
	}
	basicResponse struct {
		TBS          responseData
		Algorithm    pkix.AlgorithmIdentifier
		Signature    asn1.BitString
		Certificates []asn1.RawValue `asn1:"explicit,tag:0,optional"`
	}
	responseData struct {
		Raw        asn1.RawContent
		Version    int `asn1:"optional,default:0,explicit,tag:0"`
		Responder  asn1.RawValue
		ProducedAt time.Time `asn1:"generalized"`
		Responses  []singleResponse
		Extensions []pkix.Extension `asn1:"explicit,tag:1,optional"`
	}
	singleResponse struct {
		Cert       certID
		Status     asn1.RawValue
		ThisUpdate time.Time        `asn1:"generalized"`
		NextUpdate time.Time        `asn1:"generalized,explicit,tag:0,optional"`
		Extensions []pkix.Extension `asn1:"explicit,tag:1,optional"`
	}
)

// idOf names leaf to its issuer. SHA-1 is what every responder knows (RFC 5019
// §2.1.1); nothing depends on its strength, as both sides hash what they know.
func idOf(leaf, issuer *x509.Certificate) (certID, error) {
	var key struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(issuer.RawSubjectPublicKeyInfo, &key); err != nil {
		return certID{}, fmt.Errorf("ocsp: public key of the issuer: %w", err)
	}
	name, keyHash := sha1.Sum(issuer.RawSubject), sha1.Sum(key.Key.RightAlign())
	return certID{
		Hash:     pkix.AlgorithmIdentifier{Algorithm: oidSHA1, Parameters: asn1.NullRawValue},
		NameHash: name[:], IssuerKey: keyHash[:], Serial: leaf.SerialNumber,
	}, nil
}

func (c certID) equal(o certID) bool {
	return c.Hash.Algorithm.Equal(o.Hash.Algorithm) && bytes.Equal(c.NameHash, o.NameHash) &&
		bytes.Equal(c.IssuerKey, o.IssuerKey) && c.Serial != nil && o.Serial != nil && c.Serial.Cmp(o.Serial) == 0
}

// NewRequest returns the request (DER) for leaf, which issuer has issued.
func NewRequest(leaf, issuer *x509.Certificate) ([]byte, error) {
	id, err := idOf(leaf, issuer)
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(request{tbsRequest{[]requestItem{{id}}}})
}

// Parse verifies a response (DER) about leaf at the time now: it must be signed by
// issuer, or by whom issuer has authorised for it (RFC 6960 §4.2.2.2), name leaf,
// and be valid now and for a limited time. The certificate may still be revoked.
func Parse(der []byte, leaf, issuer *x509.Certificate, now time.Time) (Response, error) {
	if len(der) > MaxResponse {
		return Response{}, fmt.Errorf("ocsp: response of %d bytes, at most %d are of use", len(der), MaxResponse)
	}
	var outer response
	if rest, err := asn1.Unmarshal(der, &outer); err != nil || len(rest) > 0 {
		return Response{}, errors.New("ocsp: response is malformed")
	}
	if outer.Status != 0 {
		return Response{}, fmt.Errorf("ocsp: the responder answers %s", responseStatus(outer.Status))
	}
	if !outer.Bytes.Type.Equal(oidBasic) {
		return Response{}, errors.New("ocsp: response is of a type that is not known")
	}
	var basic basicResponse
	if rest, err := asn1.Unmarshal(outer.Bytes.Response, &basic); err != nil || len(rest) > 0 {
		return Response{}, errors.New("ocsp: basic response is malformed")
	}
	if err := basic.verify(issuer, now); err != nil {
		return Response{}, err
	}
	id, err := idOf(leaf, issuer)
	if err != nil {
		return Response{}, err
	}
	i := slices.IndexFunc(basic.TBS.Responses, func(s singleResponse) bool { return s.Cert.equal(id) })
	if i < 0 {
		return Response{}, errors.New("ocsp: response is about another certificate")
	}
	return basic.TBS.Responses[i].at(now)
}

// at returns the status, if it holds now.
func (s *singleResponse) at(now time.Time) (Response, error) {
	r := Response{ThisUpdate: s.ThisUpdate, NextUpdate: s.NextUpdate}
	switch {
	case slices.ContainsFunc(s.Extensions, func(e pkix.Extension) bool { return e.Critical }):
		return r, errors.New("ocsp: response has a critical extension that is not known")
	case s.NextUpdate.IsZero():
		// "newer revocation information is available all the time": nothing to keep.
		return r, errors.New("ocsp: response does not say until when it holds")
	case s.ThisUpdate.After(now.Add(skew)):
		return r, fmt.Errorf("ocsp: response holds from %s, which is to come", s.ThisUpdate.UTC().Format(time.RFC3339))
	case !s.NextUpdate.After(now):
		return r, fmt.Errorf("ocsp: response held until %s", s.NextUpdate.UTC().Format(time.RFC3339))
	case s.Status.Class != asn1.ClassContextSpecific:
		return r, errors.New("ocsp: status is malformed")
	}
	switch s.Status.Tag {
	case 0:
		r.Status = Good
	case 1:
		r.Status = Revoked
	case 2:
		r.Status = Unknown
	default:
		return r, errors.New("ocsp: status is malformed")
	}
	return r, nil
}

// maxCertificates is the most certificates of a response that are tried.
const maxCertificates = 4

// verify checks the signature.
func (b *basicResponse) verify(issuer *x509.Certificate, now time.Time) error {
	algorithm, ok := algorithms[b.Algorithm.Algorithm.String()]
	if !ok {
		return fmt.Errorf("ocsp: response is signed by the algorithm %s, which is not accepted", b.Algorithm.Algorithm)
	}
	signed, signature := b.TBS.Raw, b.Signature.RightAlign()
	if issuer.CheckSignature(algorithm, signed, signature) == nil {
		return nil
	}
	for _, raw := range b.Certificates[:min(len(b.Certificates), maxCertificates)] {
		c, err := x509.ParseCertificate(raw.FullBytes)
		if err != nil || c.CheckSignature(algorithm, signed, signature) != nil {
			continue
		}
		switch {
		case !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning):
			return errors.New("ocsp: the certificate of the responder is not meant for signing responses")
		case now.Before(c.NotBefore) || now.After(c.NotAfter):
			return errors.New("ocsp: the certificate of the responder is not valid now")
		case !bytes.Equal(c.RawIssuer, issuer.RawSubject) || c.CheckSignatureFrom(issuer) != nil:
			return errors.New("ocsp: the certificate of the responder is not issued by that of the certificate")
		}
		return nil
	}
	return errors.New("ocsp: response is not signed by the issuer, nor by a responder of its")
}

// algorithms are those of signatures that are accepted. crypto/x509 refuses those
// with SHA-1 by itself.
var algorithms = map[string]x509.SignatureAlgorithm{
	"1.2.840.113549.1.1.11": x509.SHA256WithRSA,
	"1.2.840.113549.1.1.12": x509.SHA384WithRSA,
	"1.2.840.113549.1.1.13": x509.SHA512WithRSA,
	"1.2.840.10045.4.3.2":   x509.ECDSAWithSHA256,
	"1.2.840.10045.4.3.3":   x509.ECDSAWithSHA384,
	"1.2.840.10045.4.3.4":   x509.ECDSAWithSHA512,
	"1.3.101.112":           x509.PureEd25519,
}

func responseStatus(s asn1.Enumerated) string {
	names := map[asn1.Enumerated]string{1: "malformedRequest", 2: "internalError", 3: "tryLater", 5: "sigRequired", 6: "unauthorized"}
	if name, ok := names[s]; ok {
		return name
	}
	return fmt.Sprintf("with the status %d", s)
}
