package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// IngressClassParameters says how the Ingresses of a class are served, as far as
// that is for the operator of the cluster to decide and not for the owners of
// Ingresses. An IngressClass names it in spec.parameters, with apiGroup cardea.dev,
// kind IngressClassParameters and scope Cluster.
//
// Only spec.tls.policy, spec.tls.custom, spec.tls.policies, spec.tls.hsts and
// spec.backends are per class. The rest is for the process as a whole and counts in the parameters of
// one class: the one that --class names, else the oldest.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,path=ingressclassparameters,singular=ingressclassparameters
// +kubebuilder:printcolumn:name="TLS policy",type=string,JSONPath=`.spec.tls.policy`
// +kubebuilder:printcolumn:name="Unknown SNI",type=string,JSONPath=`.spec.tls.unknownSNI`
// +kubebuilder:printcolumn:name="Host ownership",type=string,JSONPath=`.spec.hostOwnership`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type IngressClassParameters struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what the operator wants.
	// +kubebuilder:default={}
	// +optional
	Spec IngressClassParametersSpec `json:"spec,omitempty"`
}

// IngressClassParametersList is a list of [IngressClassParameters].
//
// +kubebuilder:object:root=true
type IngressClassParametersList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []IngressClassParameters `json:"items"`
}

// IngressClassParametersSpec is what the operator wants.
type IngressClassParametersSpec struct {
	// TLS is about handshakes with clients.
	// +kubebuilder:default={}
	// +optional
	TLS TLS `json:"tls,omitempty"`

	// HostOwnership decides between namespaces that name one host: `namespace`
	// gives it to the namespace of the oldest Ingress that names it and refuses the
	// paths of the others, `shared` merges them.
	// +kubebuilder:default=namespace
	// +optional
	HostOwnership HostOwnership `json:"hostOwnership,omitempty"`

	// TrustedCIDRs are the networks of the proxies in front of Cardea: only from
	// them are X-Forwarded-*, Forwarded and X-Real-IP believed. Without any, from
	// nobody.
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:items:XValidation:rule="isCIDR(self)",message="want a network such as 10.0.0.0/8 or 2001:db8::/32"
	// +listType=set
	// +optional
	TrustedCIDRs []string `json:"trustedCIDRs,omitempty"`

	// Connections says which connections are let in, before a byte of TLS or HTTP is
	// read from them. What it leaves open is that of the flags --connections-….
	// +optional
	Connections Connections `json:"connections,omitempty"`

	// ProxyProtocol says from whom PROXY protocol headers are read.
	// +optional
	ProxyProtocol ProxyProtocol `json:"proxyProtocol,omitempty"`

	// Backends is about the connections to backends.
	// +optional
	Backends Backends `json:"backends,omitempty"`

	// Events says what Kubernetes Events tell.
	// +optional
	Events Events `json:"events,omitempty"`

	// LastGoodAfterDelete is how long the certificate of a deleted Secret is still
	// served; `0s` ends it at once.
	// +kubebuilder:default="1h"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('168h')",message="want at most 168h"
	// +optional
	LastGoodAfterDelete Duration `json:"lastGoodAfterDelete,omitempty"`
}

// Connections says which connections are let in. An address is the client's own;
// clients with IPv6 are counted by /64.
type Connections struct {
	// Allow are the networks of the clients that are served. Without any, all are.
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:items:XValidation:rule="isCIDR(self)",message="want a network such as 10.0.0.0/8 or 2001:db8::/32"
	// +listType=set
	// +optional
	Allow []string `json:"allow,omitempty"`

	// Deny are the networks of clients whose connections are reset; it is asked
	// before allow.
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:items:XValidation:rule="isCIDR(self)",message="want a network such as 10.0.0.0/8 or 2001:db8::/32"
	// +listType=set
	// +optional
	Deny []string `json:"deny,omitempty"`

	// MaxPerIP is the most connections that an address has open at once; 0 means no
	// limit.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	MaxPerIP int32 `json:"maxPerIP,omitempty"`

	// NewPerSecondPerIP is the most connections that an address opens per second, in
	// the long run, and five times as many at once; 0 means no limit.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	NewPerSecondPerIP int32 `json:"newPerSecondPerIP,omitempty"`

	// Max is the most connections that are open at once, on all listeners; 0 means
	// no limit.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000000
	// +optional
	Max int32 `json:"max,omitempty"`
}

// ProxyProtocol says from whom PROXY protocol headers are read.
type ProxyProtocol struct {
	// TrustedCIDRs are the networks of load balancers that begin each connection
	// with a PROXY protocol header (version 1 or 2). A connection of theirs without
	// one is refused; nobody else's is read.
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:items:XValidation:rule="isCIDR(self)",message="want a network such as 10.0.0.0/8 or 2001:db8::/32"
	// +listType=set
	// +optional
	TrustedCIDRs []string `json:"trustedCIDRs,omitempty"`
}

// Backends is about the connections to backends.
type Backends struct {
	// ClientCertificate names the Secret with the certificate and key that backends
	// of the class are shown over TLS when they ask for one and the annotations of
	// their Ingress (backend-tls-client-cert, proxy-ssl-secret) name none. It
	// overrules the flags. Without a usable one in it none is shown. Every backend
	// of the class sees it, those outside of the cluster too. With
	// --watch-namespace it is one of that namespace.
	// +optional
	ClientCertificate *SecretReference `json:"clientCertificate,omitempty"`
}

// Events says what Kubernetes Events tell.
type Events struct {
	// ClientAddress is how much of the addresses of clients Events tell those who
	// may read them: `full`, `prefix` (/24, IPv6 /48) or `none`. Unset, it is that of
	// --events-client-address.
	// +optional
	ClientAddress ClientAddress `json:"clientAddress,omitempty"`
}

// ClientAddress is how much of the addresses of clients is told.
// +kubebuilder:validation:Enum=full;prefix;none
type ClientAddress string

// TLS is about handshakes with clients.
//
// +kubebuilder:validation:XValidation:rule="(has(self.policy) && self.policy == 'custom') == has(self.custom)",message="custom is required with policy custom, and allowed with it alone",fieldPath=".custom"
// +kubebuilder:validation:XValidation:rule="!has(self.defaultCertificate) || !has(self.unknownSNI) || self.unknownSNI != 'reject'",message="defaultCertificate is never served with unknownSNI reject",fieldPath=".defaultCertificate"
type TLS struct {
	// Policy is that of every host of the class whose Ingress names no other by the
	// annotation tls-policy: `intermediate` accepts TLS 1.2 and 1.3 with forward
	// secrecy and authenticated encryption, `modern` TLS 1.3 alone, `custom` what
	// the field custom says.
	// +kubebuilder:default=intermediate
	// +optional
	Policy PolicyName `json:"policy,omitempty"`

	// Custom is the policy that `policy: custom` means.
	// +optional
	Custom *TLSPolicy `json:"custom,omitempty"`

	// Policies are further policies, for Ingresses of the class to name by the
	// annotation tls-policy.
	// +kubebuilder:validation:MaxItems=32
	// +listType=map
	// +listMapKey=name
	// +optional
	Policies []NamedTLSPolicy `json:"policies,omitempty"`

	// UnknownSNI is what a client gets that asks for no declared host: `reject`
	// ends its handshake with the alert unrecognized_name, `default-cert` serves
	// the default certificate. Unset, the default certificate is served if there
	// is one. Without one, `default-cert` rejects as well.
	// +optional
	UnknownSNI UnknownSNI `json:"unknownSNI,omitempty"`

	// DefaultCertificate names the Secret with the certificate for clients that ask
	// for no declared host. It overrules the flags for the default certificate,
	// which count as long as nothing of the Secret is usable; a Secret that becomes
	// invalid or is deleted is served on as those of Ingresses are. With
	// --watch-namespace it is one of that namespace.
	// +optional
	DefaultCertificate *SecretReference `json:"defaultCertificate,omitempty"`

	// HSTS is the value of Strict-Transport-Security (RFC 6797) in answers over TLS on
	// the hosts of the class that are declared in TLS, such as
	// `max-age=31536000; includeSubDomains` (further `; preload`), or `off`. The
	// annotation hsts overrules it. Unset, none is sent, because clients keep to it
	// for as long as it says; with `--controller-name k8s.io/ingress-nginx` it is
	// `max-age=31536000; includeSubDomains`, as there.
	// +kubebuilder:validation:MaxLength=60
	// +kubebuilder:validation:Pattern=`^(off|max-age=[0-9]{1,10}(; includeSubDomains)?(; preload)?)$`
	// +optional
	HSTS string `json:"hsts,omitempty"`

	// HandshakeTimeout bounds the time from the accept of a connection to the end of
	// its handshake. Unset, it is that of --handshake-timeout.
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('100ms') && duration(self) <= duration('10m')",message="want 100ms to 10m"
	// +optional
	HandshakeTimeout Duration `json:"handshakeTimeout,omitempty"`

	// FirstByteTimeout bounds the time in which a client sends its first byte. Unset,
	// it is that of --handshake-first-byte-timeout; it is never longer than
	// handshakeTimeout.
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('100ms') && duration(self) <= duration('10m')",message="want 100ms to 10m"
	// +optional
	FirstByteTimeout Duration `json:"firstByteTimeout,omitempty"`

	// MaxConcurrentHandshakes is the most handshakes that run at once; connections
	// in addition are reset and counted with the reason `shed`. 0 means no limit.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	MaxConcurrentHandshakes int32 `json:"maxConcurrentHandshakes,omitempty"`

	// OnRotate is what becomes of connections when the certificate that they were
	// made with is replaced: `keep` lets them go on, `drain` asks their clients to
	// connect anew, each with the next answer (Connection: close, GOAWAY). Unset, it
	// is that of --tls-on-rotate.
	// +optional
	OnRotate OnRotate `json:"onRotate,omitempty"`

	// HandshakeLog says which handshakes get a record in the handshake log, and what
	// of them is written. What it leaves open is that of the flags --handshake-log….
	// +optional
	HandshakeLog HandshakeLog `json:"handshakeLog,omitempty"`
}

// SecretReference names a Secret.
type SecretReference struct {
	// Namespace is that of the Secret.
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Namespace string `json:"namespace"`

	// Name is the name of the Secret.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Name string `json:"name"`
}

// HandshakeLog says which handshakes get a record in the handshake log, and what of
// them is written.
type HandshakeLog struct {
	// Mode, in quotes, is `off` (none is written), `failures` (those that failed or timed out)
	// or `all`. Unset, it is that of --handshake-log.
	// +optional
	Mode HandshakeLogMode `json:"mode,omitempty"`

	// SuccessOneIn writes one in so many of the handshakes that went well where
	// mode is `all`, chosen by the number of the connection; failures are always
	// written. 1 writes every one, 0 as many as --handshake-log-sample-ok says.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000000
	// +optional
	SuccessOneIn int32 `json:"successOneIn,omitempty"`

	// Fields are the fields that are written, besides `time`, `log` and `conn`.
	// Unset, they are those of --handshake-log-fields.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +listType=set
	// +optional
	Fields []HandshakeField `json:"fields,omitempty"`
}

// A TLSPolicy says which versions, suites, groups and protocols are accepted.
//
// +kubebuilder:validation:XValidation:rule="self.minVersion <= self.maxVersion",message="minVersion is above maxVersion"
// +kubebuilder:validation:XValidation:rule="!has(self.cipherSuites) || self.minVersion != '1.3'",message="cipherSuites are those of TLS 1.2 and older, and minVersion is 1.3; Go does not let the suites of TLS 1.3 be chosen"
// +kubebuilder:validation:XValidation:rule="self.minVersion >= '1.2' || has(self.cipherSuites) && self.cipherSuites.exists(s, s.endsWith('_CBC_SHA'))",message="TLS 1.0 and 1.1 need a suite that ends in _CBC_SHA in cipherSuites"
// +kubebuilder:validation:XValidation:rule="self.minVersion == '1.3' || !has(self.curves) || self.curves.exists(c, !c.contains('MLKEM'))",message="TLS 1.2 and older need a curve other than the post-quantum ones, which are of TLS 1.3"
type TLSPolicy struct {
	// MinVersion is the oldest version that is accepted. Write it in quotes.
	// +kubebuilder:default="1.2"
	// +optional
	MinVersion TLSVersion `json:"minVersion,omitempty"`

	// MaxVersion is the newest version that is accepted. Write it in quotes.
	// +kubebuilder:default="1.3"
	// +optional
	MaxVersion TLSVersion `json:"maxVersion,omitempty"`

	// CipherSuites are the suites of TLS 1.2 and older that are accepted; Go decides
	// their order, and which suites of TLS 1.3 it takes. Unset, they are those of
	// `intermediate`.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +listType=set
	// +optional
	CipherSuites []CipherSuite `json:"cipherSuites,omitempty"`

	// Curves are the groups of the key exchange that are accepted; Go decides their
	// order. Unset, they are those of Go, the post-quantum ones first.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +listType=set
	// +optional
	Curves []Curve `json:"curves,omitempty"`

	// SessionTickets lets clients resume a session without a full handshake.
	// +kubebuilder:default=true
	// +optional
	SessionTickets *bool `json:"sessionTickets,omitempty"`

	// ALPNMismatch is what a client gets that offers application protocols (ALPN)
	// and none that is served: `allow` serves it as if it had offered none,
	// `reject` ends its handshake with the alert no_application_protocol.
	// +kubebuilder:default=allow
	// +optional
	ALPNMismatch ALPNMismatch `json:"alpnMismatch,omitempty"`
}

// A NamedTLSPolicy is a policy that Ingresses can name.
type NamedTLSPolicy struct {
	// Name is what the annotation tls-policy says.
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:XValidation:rule="!(self in ['intermediate', 'modern', 'custom'])",message="intermediate, modern and custom are taken"
	Name string `json:"name"`

	TLSPolicy `json:",inline"`
}

// PolicyName is the policy of a class.
// +kubebuilder:validation:Enum=intermediate;modern;custom
type PolicyName string

// The values of PolicyName.
const (
	PolicyIntermediate PolicyName = "intermediate"
	PolicyModern       PolicyName = "modern"
	PolicyCustom       PolicyName = "custom"
)

// OnRotate is what becomes of connections whose certificate is replaced.
// +kubebuilder:validation:Enum=keep;drain
type OnRotate string

// The values of OnRotate.
const (
	OnRotateKeep  OnRotate = "keep"
	OnRotateDrain OnRotate = "drain"
)

// UnknownSNI is the treatment of clients that ask for no declared host.
// +kubebuilder:validation:Enum=reject;default-cert
type UnknownSNI string

// The values of UnknownSNI.
const (
	UnknownSNIReject      UnknownSNI = "reject"
	UnknownSNIDefaultCert UnknownSNI = "default-cert"
)

// HandshakeLogMode selects the handshakes that get a record.
// +kubebuilder:validation:Enum=off;failures;all
type HandshakeLogMode string

// The values of HandshakeLogMode.
const (
	HandshakeLogOff      HandshakeLogMode = "off"
	HandshakeLogFailures HandshakeLogMode = "failures"
	HandshakeLogAll      HandshakeLogMode = "all"
)

// HandshakeField is a field of the handshake log; docs/logs.md says what it holds.
// +kubebuilder:validation:Enum=listener;remote;local;proxy;result;reason;err;alert;alert_sent;duration_seconds;bytes_in;bytes_out;hello;first_bytes;ja4;sni;host;ingress;field;offered_versions;offered_ciphers;offered_curves;offered_schemes;offered_extensions;offered_alpn;pool;endpoint;attempts;policy;version;cipher;curve;alpn;resumed;hello_retried;ech;cert;cert_serial;cert_key;cert_not_before;cert_not_after;default_cert;client_subject;client_issuer;client_serial;client_cert;client_not_before;client_not_after;client_dns;client_uri;client_email;client_ip;client_verified;client_verify_err
type HandshakeField string

// ALPNMismatch is the treatment of clients that offer other protocols only.
// +kubebuilder:validation:Enum=allow;reject
type ALPNMismatch string

// The values of ALPNMismatch.
const (
	ALPNMismatchAllow  ALPNMismatch = "allow"
	ALPNMismatchReject ALPNMismatch = "reject"
)

// HostOwnership decides between namespaces that name one host.
// +kubebuilder:validation:Enum=namespace;shared
type HostOwnership string

// The values of HostOwnership.
const (
	HostOwnershipNamespace HostOwnership = "namespace"
	HostOwnershipShared    HostOwnership = "shared"
)

// TLSVersion is a version of TLS.
// +kubebuilder:validation:Enum="1.0";"1.1";"1.2";"1.3"
type TLSVersion string

// CipherSuite is a suite of TLS 1.2 or older, by the name that IANA gives it. Those
// that begin with TLS_RSA have no forward secrecy, those that end in SHA no
// authenticated encryption: they are for clients that have nothing else.
// +kubebuilder:validation:Enum=TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256;TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384;TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384;TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256;TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256;TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA;TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA;TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA;TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA;TLS_RSA_WITH_AES_128_GCM_SHA256;TLS_RSA_WITH_AES_256_GCM_SHA384;TLS_RSA_WITH_AES_128_CBC_SHA;TLS_RSA_WITH_AES_256_CBC_SHA
type CipherSuite string

// Curve is a group of the key exchange.
// +kubebuilder:validation:Enum=X25519MLKEM768;SecP256r1MLKEM768;SecP384r1MLKEM1024;X25519;P-256;P-384;P-521
type Curve string

// Duration is a time such as `500ms`, `10s`, `1m30s` or `1h`.
// +kubebuilder:validation:MaxLength=24
// +kubebuilder:validation:Pattern=`^([0-9]{1,7}(h|m|s|ms)){1,4}$`
type Duration string
