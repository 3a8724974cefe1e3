package outcome

// A Reason is the one word for why something ended as it did. The list is
// closed: [Reasons] is all of it.
type Reason string

// OK is the reason of everything that went as it should.
const OK Reason = "ok"

// Why a TLS handshake did not end well. The order of a handshake: bytes, hello,
// policy, certificate, client.
const (
	TimeoutSilent       Reason = "timeout_silent"
	TimeoutPartial      Reason = "timeout_partial"
	TimeoutHandshake    Reason = "timeout_handshake"
	EOF                 Reason = "eof"
	Reset               Reason = "reset"
	NotTLSHTTP          Reason = "not_tls_http"
	NotTLS              Reason = "not_tls"
	BadHello            Reason = "bad_hello"
	Version             Reason = "version"
	Cipher              Reason = "cipher"
	Curve               Reason = "curve"
	ALPN                Reason = "alpn"
	UnknownSNI          Reason = "unknown_sni"
	NoSNI               Reason = "no_sni"
	NoCertificate       Reason = "no_certificate"
	NotReady            Reason = "not_ready"
	ClientCertMissing   Reason = "client_cert_missing"
	ClientCertExpired   Reason = "client_cert_expired"
	ClientCertUnknownCA Reason = "client_cert_unknown_ca"
	ClientCertUsage     Reason = "client_cert_usage"
	ClientCertRevoked   Reason = "client_cert_revoked"
	ClientCertUnchecked Reason = "client_cert_unchecked"
	ClientCertDenied    Reason = "client_cert_denied"
	ClientCertInvalid   Reason = "client_cert_invalid"
	// The alerts of a client that did not like what it saw (RFC 8446 §6).
	AlertUnknownCA      Reason = "client_alert_unknown_ca"
	AlertBadCertificate Reason = "client_alert_bad_certificate"
	AlertExpired        Reason = "client_alert_certificate_expired"
	AlertCertUnknown    Reason = "client_alert_certificate_unknown"
	AlertUnsupported    Reason = "client_alert_unsupported_certificate"
	AlertRevoked        Reason = "client_alert_certificate_revoked"
	AlertHandshake      Reason = "client_alert_handshake_failure"
	AlertVersion        Reason = "client_alert_protocol_version"
	AlertUserCanceled   Reason = "client_alert_user_canceled"
	AlertECHRequired    Reason = "client_alert_ech_required"
	AlertOther          Reason = "client_alert_other"
	HandshakeInternal   Reason = "handshake_internal"
)

// Why a connection was not served.
const (
	Shed     Reason = "shed"
	Draining Reason = "draining"
)

// CertificateReplaced: the client of a connection was asked to leave, see
// [Conn.Outdate].
const CertificateReplaced Reason = "certificate_replaced"

// Why a connection was turned away before anything else was read from it.
const (
	FilteredDenied      Reason = "filtered_denied"
	FilteredNotAllowed  Reason = "filtered_not_allowed"
	FilteredRate        Reason = "filtered_rate"
	FilteredConcurrent  Reason = "filtered_concurrent"
	FilteredMax         Reason = "filtered_max"
	FilteredProxyHeader Reason = "filtered_proxy_header"
	// FilteredOther is the decision of the embedder's own Admit.
	FilteredOther Reason = "filtered"
)

// Why an HTTP/2 connection was ended.
const (
	ProtocolError Reason = "protocol_error"
	FrameFlood    Reason = "frame_flood"
	StreamResets  Reason = "stream_resets"
	PingTimeout   Reason = "ping_timeout"
	// SettingsTimeout: SETTINGS were not acknowledged (RFC 9113 §6.5.3).
	SettingsTimeout Reason = "settings_timeout"
)

// Why a request did not get its backend's answer: what the client sent.
const (
	BadRequest      Reason = "bad_request"
	HeadTooLarge    Reason = "head_too_large"
	BodyTooLarge    Reason = "body_too_large"
	BadBody         Reason = "bad_body"
	HeadTimeout     Reason = "head_timeout"
	BodyTimeout     Reason = "body_timeout"
	BodyTooSlow     Reason = "body_too_slow"
	SendTimeout     Reason = "send_timeout"
	ClientClosed    Reason = "client_closed"
	ExpectationFail Reason = "expectation_failed"
	MethodRefused   Reason = "method_refused"
	VersionRefused  Reason = "version_refused"
	Misdirected     Reason = "misdirected"
	CodingRefused   Reason = "coding_refused"
)

// Why a request did not get its backend's answer: what the table says.
const (
	NoRoute         Reason = "no_route"
	ConfigRejected  Reason = "config_rejected"
	NoService       Reason = "no_service"
	ResourceBackend Reason = "resource_backend"
	NoEndpoints     Reason = "no_endpoints"
)

// Why a request did not get its backend's answer: what the upstream did.
const (
	ConnectRefused Reason = "connect_refused"
	ConnectTimeout Reason = "connect_timeout"
	ConnectFailed  Reason = "connect_failed"
	AddressRefused Reason = "address_refused"
	// The handshake of TLS to an endpoint, after which nothing was sent.
	UpstreamTLSHandshake Reason = "upstream_tls_handshake"
	UpstreamTLSVerify    Reason = "upstream_tls_verify"
	// The certificate is one that OpenSSL would accept.
	UpstreamTLSCommonName Reason = "upstream_tls_common_name"
	UpstreamTLSTimeout    Reason = "upstream_tls_timeout"

	NameUnresolved   Reason = "name_unresolved"
	UpstreamClosed   Reason = "upstream_closed"
	UpstreamReset    Reason = "upstream_reset"
	UpstreamCanceled Reason = "upstream_canceled"
	UpstreamTimeout  Reason = "upstream_timeout"
	UpstreamSend     Reason = "upstream_send"
	UpstreamInvalid  Reason = "upstream_invalid"
	UpstreamHeadSize Reason = "upstream_head_too_large"
	UpstreamCut      Reason = "upstream_cut"
)

// What is ours.
const (
	Panic         Reason = "panic"
	InternalError Reason = "internal"
	// Shutdown is the reason of a handshake, a connection and a request that had not
	// ended when the drain was over, and was cut.
	Shutdown Reason = "shutdown"
)
