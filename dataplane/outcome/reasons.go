package outcome

import "slices"

// An Info documents a reason. docs/reasons.md is generated from the list.
type Info struct {
	Reason Reason
	// About is "handshake", "connection" or "request".
	About string
	// Status is what a client is answered, for a request; 0 means that nothing
	// is sent, the connection is closed.
	Status int
	// Text completes "clients of HOST fail: …" or "the request failed: …".
	Text string
	// Advice says what the owner of the Ingress can do; "" if nothing.
	Advice string
}

// Reasons returns the whole closed list, in order. The caller may change it.
func Reasons() []Info { return slices.Clone(infos) }

// Info returns the documentation of r; a zero Info if r is not in the list.
func (r Reason) Info() Info { return byReason[r] }

// Status is what a client is answered for r; 0 if nothing is sent.
func (r Reason) Status() int { return byReason[r].Status }

// Known reports whether r is in the closed list.
func (r Reason) Known() bool { _, ok := byReason[r]; return ok }

var byReason = func() map[Reason]Info {
	m := make(map[Reason]Info, len(infos))
	for _, i := range infos {
		m[i.Reason] = i
	}
	return m
}()

const (
	hs  = "handshake"
	cn  = "connection"
	req = "request"
)

var infos = []Info{
	{OK, req, 0, "it went as it should", ""},

	{TimeoutSilent, hs, 0, "the client connected and sent nothing in time", "Look for port scanners, health checks that only open a TCP connection, or a firewall that drops the client's packets."},
	{TimeoutPartial, hs, 0, "the client sent part of a ClientHello and then nothing", "Look for a middlebox or an MTU problem that loses large first packets."},
	{TimeoutHandshake, hs, 0, "the client stopped answering in the middle of the handshake", "Look at the network between these clients and the load balancer, and at the clients' load."},
	{EOF, hs, 0, "the client closed the connection before the handshake ended", "Ordinary for TCP health checks and scanners; if users complain, look at the client's own log."},
	{Reset, hs, 0, "the client reset the connection before the handshake ended", "Ordinary for health checks and scanners; if users complain, look at the client's own log."},
	{NotTLSHTTP, hs, 0, "the client spoke plain HTTP to the TLS port", "Use https:// in the client, or send it to the HTTP port."},
	{NotTLS, hs, 0, "the client sent something that is not TLS", "Look for a client of another protocol, or for a load balancer that adds a PROXY protocol header."},
	{BadHello, hs, 0, "the client's ClientHello or a later handshake message is malformed", "Look for a broken TLS library or a middlebox that changes packets."},
	{Version, hs, 0, "the client offers no TLS version that the policy accepts", "Update the client to TLS 1.2 or newer."},
	{Cipher, hs, 0, "the client and the policy have no cipher suite in common", "Update the client, or give the host a certificate of the key type that the client's suites need (ECDSA or RSA)."},
	{Curve, hs, 0, "the client and the policy have no key exchange group in common", "Update the client so that it offers X25519 or P-256."},
	{ALPN, hs, 0, "the client offers no application protocol that is served", "Let the client offer http/1.1."},
	{UnknownSNI, hs, 0, "the client asked for a host that no Ingress declares in spec.tls", "Add the host to spec.tls of its Ingress, or correct the DNS record."},
	{NoSNI, hs, 0, "the client named no host (no SNI)", "Let the client send SNI; a client that connects by IP address does not."},
	{NoCertificate, hs, 0, "the host is declared but has no usable certificate", "See the Events of the Ingress and of the Secret that spec.tls names."},
	{NotReady, hs, 0, "the first complete table was not yet published", ""},
	{ClientCertMissing, hs, 0, "the client sent no certificate", "Give the client a certificate that the host's client CA has signed."},
	{ClientCertExpired, hs, 0, "the client's certificate has expired or is not yet valid", "Renew the client's certificate; check its clock."},
	{ClientCertUnknownCA, hs, 0, "the client's certificate is not signed by the host's client CA", "Issue the client a certificate from that CA, or add its CA to the Secret."},
	{ClientCertUsage, hs, 0, "the client's certificate is not meant for client authentication", "Issue it with the extended key usage clientAuth."},
	{ClientCertRevoked, hs, 0, "the client's certificate is revoked", "Issue the client another certificate, if it is to be let in."},
	{ClientCertUnchecked, hs, 0, "the revocation of the client's certificate cannot be checked: there is no current list of its authority", "Renew ca.crl in the Secret of the host's client CA."},
	{ClientCertDenied, hs, 0, "the client's certificate is good, but not one that is let in", "Compare its names and the length of its chain with the auth-tls annotations of the Ingress."},
	{ClientCertInvalid, hs, 0, "the client's certificate was not accepted", "See the handshake log for the certificate and the error."},
	{AlertUnknownCA, hs, 0, "clients reject the certificate: unknown authority", "Use a certificate that the clients' trust store knows, with its intermediates in tls.crt."},
	{AlertBadCertificate, hs, 0, "clients reject the certificate: bad certificate", "Check that it covers the host name, is valid now, comes from an authority that the clients trust, and that tls.crt holds the intermediates."},
	{AlertExpired, hs, 0, "clients reject the certificate: expired", "Renew the certificate; if it is valid, the clients' clocks are wrong."},
	{AlertCertUnknown, hs, 0, "clients reject the certificate: certificate unknown", "Check that it covers the host name and comes from an authority that the clients trust."},
	{AlertUnsupported, hs, 0, "clients reject the certificate: unsupported kind", "Use a certificate with an ECDSA P-256 or RSA key and the extended key usage serverAuth."},
	{AlertRevoked, hs, 0, "clients reject the certificate: revoked", "Replace the certificate."},
	{AlertHandshake, hs, 0, "the client ended the handshake: no acceptable parameters", "Update the client, or compare its offer in the handshake log with the host's TLS policy."},
	{AlertVersion, hs, 0, "the client does not accept the TLS version", "Update the client."},
	{AlertUserCanceled, hs, 0, "the client cancelled the handshake", ""},
	{AlertECHRequired, hs, 0, "the client encrypted its ClientHello for a key that is not in force; it was told of the current one", "Ordinary after a change of the ECH key, as clients try again by themselves. If it goes on, compare the HTTPS record in DNS with the key."},
	{AlertOther, hs, 0, "the client ended the handshake with another alert", "See the handshake log for the alert's name."},
	{HandshakeInternal, hs, 0, "the handshake failed for a reason that has no name of its own", "See the handshake log."},

	{Shed, cn, 0, "too many connections or handshakes at once", "Add replicas, or raise the limit."},
	{Draining, cn, 0, "Cardea is shutting down; nothing was under way on it, or what was has ended", ""},
	{CertificateReplaced, cn, 0, "the certificate that the connection was made with was replaced, and the client was asked to connect anew", "Ordinary after a rotation, with spec.tls.onRotate or --tls-on-rotate set to drain."},
	{FilteredDenied, cn, 0, "the client's address is denied", "Correct connections.deny or --connections-deny."},
	{FilteredNotAllowed, cn, 0, "the client's address is not among those allowed", "Correct connections.allow or --connections-allow. Behind a load balancer that does not pass the client's address on, all clients have the load balancer's."},
	{FilteredRate, cn, 0, "the client's address opens connections faster than allowed", "Let the client keep its connections, or raise connections.newPerSecondPerIP or --connections-rate-per-address."},
	{FilteredConcurrent, cn, 0, "the client's address has as many connections open as allowed", "Look for clients behind one address (NAT), or raise connections.maxPerIP or --connections-max-per-address."},
	{FilteredMax, cn, 0, "as many connections are open as allowed", "Add replicas, or raise connections.max or --connections-max."},
	{FilteredProxyHeader, cn, 0, "a load balancer of which a PROXY protocol header is expected sent none, or a malformed one", "Turn the PROXY protocol on in the load balancer, or take its address out of proxyProtocol or --proxy-protocol-trusted."},
	{FilteredOther, cn, 0, "the program that embeds Cardea's data plane refused it", ""},
	{ProtocolError, cn, 0, "the client broke the rules of HTTP/2", "Look for a broken HTTP/2 client."},
	{FrameFlood, cn, 0, "the client sent too many HTTP/2 frames that carry nothing", "Look for an attack, or for a broken HTTP/2 client."},
	{StreamResets, cn, 0, "the client opened and broke off too many HTTP/2 streams", "Look for an attack (rapid reset), or for a client that cancels most of its requests."},
	{PingTimeout, cn, 0, "the client no longer answered on its HTTP/2 connection", "Ordinary for mobile clients that lose their network."},
	{SettingsTimeout, cn, 0, "the client did not acknowledge our HTTP/2 settings in time", "Look for a broken HTTP/2 client, or for an attack."},

	{BadRequest, req, 400, "the request is malformed or ambiguous", ""},
	{HeadTooLarge, req, 431, "the request head is larger than the limit", ""},
	{BodyTooLarge, req, 413, "the request body is larger than the limit", "Raise proxy-body-size if the backend needs it."},
	{BadBody, req, 400, "the request body's framing is malformed", ""},
	{HeadTimeout, req, 408, "the request head did not arrive in time", ""},
	{BodyTimeout, req, 408, "the request body did not arrive in time", ""},
	{BodyTooSlow, req, 408, "the request body arrived, but more slowly than allowed", "Look for an attack (slow bodies), or for clients on a very bad network."},
	{SendTimeout, req, 0, "the client did not take the response in time", ""},
	{ClientClosed, req, 499, "the client left before the answer was complete", ""},
	{ExpectationFail, req, 417, "the request expects something other than 100-continue", ""},
	{MethodRefused, req, 405, "the method is not served (CONNECT)", ""},
	{VersionRefused, req, 505, "the HTTP version is not served", ""},
	{Misdirected, req, 421, "the request is for a host that this connection may not serve", ""},
	{CodingRefused, req, 501, "the request's transfer coding is not served", ""},

	{NoRoute, req, 404, "no Ingress path matches", "Compare host and path with the Ingress; `cardea explain URL` shows the match."},
	{ConfigRejected, req, 503, "the Ingress has a setting that protects the path and cannot be applied", "See the Events of the Ingress."},
	{NoService, req, 503, "the Service or its port does not exist", "Create the Service, or correct the name or port in the Ingress."},
	{ResourceBackend, req, 503, "resource backends are not supported", "Use a Service backend."},
	{NoEndpoints, req, 503, "the Service has no ready endpoint", "Look at the readiness of the Service's pods."},

	{ConnectRefused, req, 502, "the endpoint refused the connection", "Check that the pods listen on the Service's target port."},
	{ConnectTimeout, req, 504, "the endpoint did not accept the connection in time", "Check network policies and the pods' load."},
	{ConnectFailed, req, 502, "the endpoint could not be reached", "Check network policies and routes to the pods."},
	{AddressRefused, req, 502, "the endpoint's address is one that Cardea does not connect to (loopback, link-local, metadata or its own)", "Correct the ExternalName or the EndpointSlice."},
	{UpstreamTLSHandshake, req, 502, "the TLS handshake with the endpoint failed", "The log line says what the endpoint did: it may not speak TLS on that port, want a client certificate, or accept other versions and cipher suites."},
	{UpstreamTLSVerify, req, 502, "the endpoint's certificate was not accepted", "The log line says why. Name the authority with backend-tls-ca and the name in the certificate with backend-tls-server-name, or renew the certificate."},
	{UpstreamTLSCommonName, req, 502, "the endpoint's certificate names its host in the common name alone, which is not looked at", "Issue the certificate with a subject alternative name: DNS: and the name that the log line says. Until then, backend-tls-verify-hostname: \"off\" with an authority of its own in backend-tls-ca verifies all but the name."},
	{UpstreamTLSTimeout, req, 504, "the TLS handshake with the endpoint took too long", "Check the pods' load; raise proxy-connect-timeout if they need longer."},
	{NameUnresolved, req, 503, "the ExternalName does not resolve", "Correct the ExternalName."},
	{UpstreamClosed, req, 502, "the backend closed the connection before it answered", "Look at the backend's log; its keep-alive timeout may be shorter than Cardea's."},
	{UpstreamReset, req, 502, "the backend reset the connection", "Look at the backend's log."},
	{UpstreamCanceled, req, 502, "the backend gave up the exchange (HTTP/2 RST_STREAM with CANCEL); a gRPC client gets the same reset, not a status", "Often a deadline that the backend enforces: compare it with the duration in the log."},
	{UpstreamTimeout, req, 504, "the backend did not answer in time", "Raise proxy-read-timeout if the backend needs longer."},
	{UpstreamSend, req, 502, "the request could not be sent to the backend", "Look at the backend's log."},
	{UpstreamInvalid, req, 502, "the backend's answer is not valid HTTP", "Look at the backend: another protocol on that port, or a malformed head."},
	{UpstreamHeadSize, req, 502, "the backend's response head is larger than the limit", ""},
	{UpstreamCut, req, 0, "the backend ended in the middle of the body; the client's connection was cut so that the loss shows", "Look at the backend's log."},

	{Panic, req, 500, "a bug in Cardea: a panic was caught; others are not affected", "Report it with the stack in the log."},
	{InternalError, req, 500, "a bug in Cardea", "Report it with the log line."},
	{Shutdown, req, 0, "Cardea shut down, and it had not ended by then: it was cut. Handshakes and connections that are cut have the same reason", "Raise --shutdown-timeout and terminationGracePeriodSeconds, if such requests should end by themselves."},
}
