package annotation_test

import (
	"crypto/tls"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cardea-dev/cardea/api/annotation"
)

func TestBackendTLS(t *testing.T) {
	for _, c := range []struct {
		name, value string
		want        annotation.BackendTLS
		err         string
	}{
		{"backend-tls-verify", "on", annotation.BackendTLS{Verify: annotation.On}, ""},
		{"backend-tls-verify", "Off", annotation.BackendTLS{Verify: annotation.Off}, ""},
		{"backend-tls-verify", "false", annotation.BackendTLS{}, `want "on" or "off", found "false"`},
		{"backend-tls-verify", "", annotation.BackendTLS{}, `want "on" or "off", found ""`},
		{"backend-tls-verify-hostname", "off", annotation.BackendTLS{VerifyHostname: annotation.Off}, ""},
		{"proxy-ssl-verify", "on", annotation.BackendTLS{ProxyVerify: annotation.On}, ""},
		{"proxy-ssl-server-name", "off", annotation.BackendTLS{ProxyServerName: annotation.Off}, ""},

		{"backend-tls-server-name", "Web.Internal.", annotation.BackendTLS{ServerName: "web.internal"}, ""},
		{"backend-tls-server-name", "under_score.a", annotation.BackendTLS{ServerName: "under_score.a"}, ""},
		{"backend-tls-server-name", "2001:DB8::1", annotation.BackendTLS{ServerName: "2001:db8::1"}, ""},
		{"backend-tls-server-name", "fe80::1%eth0", annotation.BackendTLS{}, `want a DNS name or an IP address, found "fe80::1%eth0"`},
		{"backend-tls-server-name", "", annotation.BackendTLS{}, `want a DNS name or an IP address, found ""`},
		{"backend-tls-server-name", "*.internal", annotation.BackendTLS{}, `want a DNS name or an IP address, found "*.internal"`},
		{"backend-tls-server-name", "a..b", annotation.BackendTLS{}, `want a DNS name or an IP address, found "a..b"`},
		{"backend-tls-server-name", "a:443", annotation.BackendTLS{}, `want a DNS name or an IP address, found "a:443"`},
		{"proxy-ssl-name", "a", annotation.BackendTLS{ProxyName: "a"}, ""},
		{"backend-tls-alt-names", "A.b, 10.0.0.1", annotation.BackendTLS{AltNames: "a.b,10.0.0.1"}, ""},
		{"backend-tls-alt-names", "a.b,,c", annotation.BackendTLS{}, `want DNS names or IP addresses with commas between them, found "a.b,,c"`},

		{"backend-tls-ca", "ca", annotation.BackendTLS{CA: "ca"}, ""},
		{"backend-tls-ca-configmap", "ns/ca", annotation.BackendTLS{CAConfigMap: "ns/ca"}, ""},
		{"backend-tls-ca-configmap", "", annotation.BackendTLS{}, "want the name of a ConfigMap, found none"},
		{"backend-tls-client-cert", "ns/c", annotation.BackendTLS{ClientCert: "ns/c"}, ""},
		{"proxy-ssl-secret", "ns/c", annotation.BackendTLS{ProxyPair: "ns/c"}, ""},
		{"proxy-ssl-secret", " ", annotation.BackendTLS{}, "want the name of a Secret, found none"},

		{"proxy-ssl-verify-depth", "0", annotation.BackendTLS{Depth: 1}, ""},
		{"proxy-ssl-verify-depth", "3", annotation.BackendTLS{Depth: 4}, ""},
		{"proxy-ssl-verify-depth", "-1", annotation.BackendTLS{}, `want a whole number from 0 to 100, found "-1"`},
		{"proxy-ssl-protocols", "TLSv1.3 tlsv1.2", annotation.BackendTLS{MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS13}, ""},
		{"proxy-ssl-protocols", "TLSv1", annotation.BackendTLS{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, ""},
		{"proxy-ssl-protocols", "TLSv1.1 TLSv1.3", annotation.BackendTLS{}, `want versions without a gap between them, found "TLSv1.1 TLSv1.3"`},
		{"proxy-ssl-protocols", "SSLv3 TLSv1.2", annotation.BackendTLS{}, `want some of TLSv1, TLSv1.1, TLSv1.2, TLSv1.3, found "SSLv3"`},
		{"proxy-ssl-protocols", "", annotation.BackendTLS{}, "want some of TLSv1, TLSv1.1, TLSv1.2, TLSv1.3, found none"},
		{"proxy-ssl-ciphers", "AES128-SHA:ecdhe-rsa-aes128-gcm-sha256", annotation.BackendTLS{CipherSuites: "AES128-SHA:ecdhe-rsa-aes128-gcm-sha256"}, ""},
		{"proxy-ssl-ciphers", "default", annotation.BackendTLS{}, ""},
		{"proxy-ssl-ciphers", "HIGH:!aNULL", annotation.BackendTLS{}, `want names of cipher suites with colons between them, of those that Go has, or DEFAULT, found "HIGH"`},
		{"proxy-ssl-ciphers", ":", annotation.BackendTLS{}, "want names of cipher suites, found none"},
	} {
		for _, prefix := range []string{annotation.Own, annotation.Nginx} {
			got, problems := annotation.Parse(map[string]string{prefix + c.name: c.value})
			if diff := cmp.Diff(c.want, got.BackendTLS); diff != "" {
				t.Errorf("%s%s: %q (-want +got):\n%s", prefix, c.name, c.value, diff)
			}
			err := ""
			for _, p := range problems {
				err += p.Err.Error()
				if p.Annotation.Effect != annotation.Protects {
					t.Errorf("%s shapes, want it to protect", p.Key)
				}
			}
			if err != c.err {
				t.Errorf("%s%s: %q: problem %q, want %q", prefix, c.name, c.value, err, c.err)
			}
		}
	}
	s := annotation.BackendTLS{AltNames: "a,b", CipherSuites: "AES128-SHA:ECDHE-RSA-AES128-GCM-SHA256"}
	if got, want := s.AltNames.Names(), []string{"a", "b"}; !slices.Equal(got, want) {
		t.Errorf("Names() = %q, want %q", got, want)
	}
	if got, want := s.Suites(), []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}; !slices.Equal(got, want) {
		t.Errorf("Suites() = %x, want %x", got, want)
	}
}
