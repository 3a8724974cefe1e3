package cli

import (
	"cmp"
	"crypto/fips140"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cardea-dev/cardea/controllers/files"
	"github.com/cardea-dev/cardea/controllers/translate"
	"github.com/cardea-dev/cardea/dataplane/observe"
)

// settings are the flags that every serving command shares.
type settings struct {
	httpAddr, httpsAddr, adminAddr, debugAddr string
	externalHTTPSPort                         int
	class, controllerName, configMap          string
	withoutClass, sslPassthrough              bool
	defaultCert, defaultKey                   string
	selfSigned                                bool
	echKeyFiles                               []string
	operatorFiles                             operatorFiles
	enableOCSP                                bool
	tlsReload                                 bool
	tlsOnRotate                               string
	tlsReloadInterval                         time.Duration
	logFormat, logLevel                       string
	accessLog, logQuery                       bool
	handshakeLog                              string
	handshakeLogSampleOK                      float64
	handshakeLogFields                        []string
	metricsMaxHosts                           int
	maxConnections, maxHandshakes             int
	handshakeTimeout, firstByteTimeout        time.Duration
	shutdownDelay, drainTimeout               time.Duration
	tlsKeyLog                                 string
	connections                               connectionFlags
	requireFIPS                               bool
}

func (s *settings) bind(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringVar(&s.httpAddr, "http-addr", ":8080", "Address to serve plain HTTP on.")
	f.StringVar(&s.httpsAddr, "https-addr", ":8443", "Address to serve HTTPS on.")
	f.IntVar(&s.externalHTTPSPort, "external-https-port", 0, "Port of HTTPS as clients see it, for redirects; 0 means that of --https-addr.")
	f.StringVar(&s.adminAddr, "admin-addr", "127.0.0.1:10254", "Address of /livez, /readyz and /metrics; \"\" turns it off.")
	f.StringVar(&s.debugAddr, "debug-addr", "127.0.0.1:10255", "Address of /debug/ and of POST /-/reload, which must not be reachable by others; \"\" turns it off.")
	s.bindClass(f)
	f.StringVar(&s.defaultCert, "default-tls-cert", "", "PEM file with the certificate for clients that ask for no declared host; without it their handshakes are rejected.")
	f.StringVar(&s.defaultKey, "default-tls-key", "", "PEM file with the private key of --default-tls-cert.")
	f.BoolVar(&s.selfSigned, "default-tls-self-signed", false, "Serve clients that ask for no declared host a certificate that is made at the start and that none trusts, instead of rejecting their handshakes.")
	f.StringSliceVar(&s.echKeyFiles, "ech-key-file", nil, "PEM files (RFC 9934) with the keys of Encrypted ClientHello: clients are told of the first, further ones decrypt only.")
	s.operatorFiles.bind(f)
	f.BoolVar(&s.tlsReload, "tls-reload", true, "Follow the files with certificates, keys and revocation lists that flags name; SIGHUP reads them in any case.")
	f.DurationVar(&s.tlsReloadInterval, "tls-reload-interval", files.DefaultInterval, "How often these files are looked at where nothing tells of a change.")
	f.StringVar(&s.tlsOnRotate, "tls-on-rotate", "keep", "What becomes of connections whose certificate is replaced: keep lets them go on, drain asks their clients to connect anew.")
	f.StringVar(&s.logFormat, "log-format", "json", "Format of all logs: json or text.")
	f.StringVar(&s.logLevel, "log-level", "info", "Lowest level of the program's own log: debug, info, warn or error.")
	f.BoolVar(&s.accessLog, "access-log", true, "Write a record for every request to the standard output.")
	f.BoolVar(&s.logQuery, "log-query", false, "Write query strings into the access log; they often hold tokens.")
	f.StringVar(&s.handshakeLog, "handshake-log", "all", "TLS handshakes to write a record for to the standard output: all, failures or off.")
	f.Float64Var(&s.handshakeLogSampleOK, "handshake-log-sample-ok", 1, "Share of the good handshakes that --handshake-log=all writes, from 0 to 1; failures are always written.")
	f.StringSliceVar(&s.handshakeLogFields, "handshake-log-fields", nil, "Fields of the records of the handshake log, besides time, log and conn, separated by commas; none means all.")
	f.IntVar(&s.metricsMaxHosts, "metrics-max-hosts", 1000, "Most hosts that get metrics of their own; the others share the host \"_other\".")
	f.IntVar(&s.maxConnections, "max-connections", 0, "Most connections that are open at once on each of --http-addr and --https-addr; more are reset and counted as shed. 0 means half of the files that the process may open.")
	f.IntVar(&s.maxHandshakes, "max-handshakes", 10_000, "Most TLS handshakes that run at once; more connections are reset and counted as shed. 0 means no limit.")
	f.DurationVar(&s.handshakeTimeout, "handshake-timeout", time.Minute, "Time that a TLS handshake may take.")
	f.DurationVar(&s.firstByteTimeout, "handshake-first-byte-timeout", 10*time.Second, "Time that a client of HTTPS has to send its first byte.")
	f.StringVar(&s.tlsKeyLog, "tls-keylog", "off", "Connections whose TLS secrets are written to the file that $SSLKEYLOGFILE names, for debugging: off, downstream, upstream or both.")
	s.connections.bind(f)
	f.BoolVar(&s.requireFIPS, "require-fips", false, "Refuse to start unless FIPS 140-3 mode is on: the FIPS build, or GODEBUG=fips140=on.")
	f.DurationVar(&s.shutdownDelay, "shutdown-delay", 0, "Time from not being ready to not accepting connections, for load balancers to notice; meanwhile a growing share of the answers asks clients to leave.")
	f.DurationVar(&s.drainTimeout, "shutdown-timeout", 30*time.Second, "Time that requests in flight, websockets and passed-through connections have to end when shutting down, after --shutdown-delay; then they are cut.")
}

// bindClass binds what decides which Ingresses are served, and how they are judged.
func (s *settings) bindClass(f *pflag.FlagSet) {
	f.StringVar(&s.class, "class", translate.DefaultClass, "Name of the ingress class to serve where no IngressClass object decides.")
	f.StringVar(&s.controllerName, "controller-name", translate.DefaultControllerName, "The spec.controller of the IngressClasses to serve.")
	f.BoolVar(&s.sslPassthrough, "enable-ssl-passthrough", false, "Let the annotation ssl-passthrough carry TLS connections to backends undecrypted.")
	f.StringVar(&s.configMap, "configmap", "", "NAMESPACE/NAME of a ConfigMap with settings for all Ingresses, as ingress-nginx has one; parameters of the class overrule it.")
	f.BoolVar(&s.enableOCSP, "enable-ocsp", false, "Staple OCSP responses to certificates whose authority gives any.")
	f.BoolVar(&s.withoutClass, "watch-ingress-without-class", false, "Serve Ingresses that name no class, too.")
}

// check returns an error about the first flag that makes no sense.
func (s *settings) check() error {
	for _, a := range []struct{ flag, value string }{
		{"http-addr", s.httpAddr}, {"https-addr", s.httpsAddr}, {"admin-addr", s.adminAddr}, {"debug-addr", s.debugAddr},
	} {
		if _, _, err := net.SplitHostPort(a.value); err != nil && (a.value != "" || a.flag == "http-addr" || a.flag == "https-addr") {
			return usage("--%s %q: want HOST:PORT or :PORT", a.flag, a.value)
		}
	}
	if s.externalHTTPSPort < 0 || s.externalHTTPSPort > 65535 {
		return usage("--external-https-port %d: want a port", s.externalHTTPSPort)
	}
	if s.logFormat != "json" && s.logFormat != "text" {
		return usage("--log-format %q: want json or text", s.logFormat)
	}
	if _, err := s.level(); err != nil {
		return usage("--log-level %q: want debug, info, warn or error", s.logLevel)
	}
	for _, d := range []struct {
		flag  string
		value time.Duration
	}{
		{"handshake-timeout", s.handshakeTimeout},
		{"handshake-first-byte-timeout", s.firstByteTimeout},
		{"shutdown-delay", s.shutdownDelay},
		{"shutdown-timeout", s.drainTimeout},
	} {
		if d.value < 0 {
			return usage("--%s %v: want 0 or more", d.flag, d.value)
		}
	}
	if s.tlsReloadInterval < time.Second {
		return usage("--tls-reload-interval %v: want 1s or more", s.tlsReloadInterval)
	}
	if s.tlsOnRotate != "keep" && s.tlsOnRotate != "drain" {
		return usage("--tls-on-rotate %q: want keep or drain", s.tlsOnRotate)
	}
	if _, err := observe.ParseHandshakeMode(s.handshakeLog); err != nil {
		return usage("--handshake-log %q: want all, failures or off", s.handshakeLog)
	}
	if _, err := s.connections.policy(); err != nil {
		return err
	}
	if _, err := namespacedName("configmap", s.configMap); err != nil {
		return err
	}
	if err := s.checkKeyLog(); err != nil {
		return err
	}
	if s.enableOCSP && fips140.Enforced() {
		return usage("--enable-ocsp: not with GODEBUG=fips140=only: OCSP names certificates by SHA-1")
	}
	if _, err := s.handshakes(); err != nil {
		return usage("--handshake-log-sample-ok, --handshake-log-fields: %s", strings.TrimPrefix(err.Error(), "observe: "))
	}
	if s.maxConnections < 0 {
		return usage("--max-connections %d: want 0 or more", s.maxConnections)
	}
	if s.maxHandshakes < 0 {
		return usage("--max-handshakes %d: want 0 or more", s.maxHandshakes)
	}
	if s.metricsMaxHosts < 1 {
		return usage("--metrics-max-hosts %d: want 1 or more", s.metricsMaxHosts)
	}
	if s.requireFIPS && !fips140.Enabled() {
		return usage("--require-fips: FIPS 140-3 mode is off; run the FIPS build, or set GODEBUG=fips140=on")
	}
	if (s.defaultCert == "") != (s.defaultKey == "") {
		return usage("--default-tls-cert and --default-tls-key go together")
	}
	if s.defaultCert != "" && s.selfSigned {
		return usage("--default-tls-cert and --default-tls-self-signed exclude each other")
	}
	return s.operatorFiles.check()
}

// handshakes is what the handshake log holds where no parameters say otherwise.
func (s *settings) handshakes() (observe.HandshakeLog, error) {
	return observe.ParseHandshakeLog(s.handshakeLog, s.handshakeLogSampleOK, s.handshakeLogFields)
}

// handshakesWith is what it holds with those parameters.
func (s *settings) handshakesWith(params translate.HandshakeLog) (observe.HandshakeLog, error) {
	sample, fields := s.handshakeLogSampleOK, s.handshakeLogFields
	if params.SuccessOneIn > 0 {
		sample = 1 / float64(params.SuccessOneIn)
	}
	if len(params.Fields) > 0 {
		fields = params.Fields
	}
	return observe.ParseHandshakeLog(cmp.Or(params.Mode, s.handshakeLog), sample, fields)
}

func (s *settings) level() (slog.Level, error) {
	var l slog.Level
	err := l.UnmarshalText([]byte(s.logLevel))
	return l, err
}

// options is how Kubernetes objects are translated. The default certificate is
// none of it: [board] adds it.
func (s *settings) options() translate.Options {
	configMap, _ := namespacedName("configmap", s.configMap) // checked
	return translate.Options{ConfigMap: configMap, OCSP: s.enableOCSP, ControllerName: s.controllerName, Class: s.class, WithoutClass: s.withoutClass, SSLPassthrough: s.sslPassthrough, DrainOnRotate: s.tlsOnRotate == "drain", FIPS: fips140.Enabled()}
}

// namespacedName parses the value of a flag; "" is none.
func namespacedName(flag, value string) (types.NamespacedName, error) {
	ns, name, ok := strings.Cut(value, "/")
	if value != "" && (!ok || ns == "" || name == "" || strings.Contains(name, "/")) {
		return types.NamespacedName{}, usage("--%s %q: want NAMESPACE/NAME", flag, value)
	}
	return types.NamespacedName{Namespace: ns, Name: name}, nil
}
