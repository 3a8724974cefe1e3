package translate

import (
	"crypto/tls"
	"fmt"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cardea-dev/cardea/api/annotation"
	"github.com/cardea-dev/cardea/api/configmap"
	"github.com/cardea-dev/cardea/api/v1alpha1"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// A config is the ConfigMap of the Options as read. Parameters overrule it.
type config struct {
	object   *corev1.ConfigMap // nil: there is none
	origin   snapshot.Origin
	settings configmap.Settings
	// defaults are the settings of Ingresses without annotations, which they share.
	defaults *annotation.Settings
	// closed says that a key which protects cannot be applied.
	closed   bool
	verdicts []Verdict
}

// SetConfigMap adds or replaces a ConfigMap; any but that of the Options is left
// alone.
func (t *Translator) SetConfigMap(c *corev1.ConfigMap) {
	if name := objectName(c); name != t.opts.ConfigMap || t.config.object != nil && sameVersion(t.config.object, c) {
		return
	}
	t.setConfig(t.readConfig(c))
}

// DeleteConfigMap removes a ConfigMap.
func (t *Translator) DeleteConfigMap(name types.NamespacedName) {
	if name == t.opts.ConfigMap {
		t.setConfig(t.readConfig(nil))
	}
}

// setConfig looks at each Ingress again if what counts without annotations is
// another: a ConfigMap is a rare change.
func (t *Translator) setConfig(now config) {
	old := t.config
	if *now.defaults == *old.defaults {
		now.defaults = old.defaults
	}
	t.config, t.touchedClasses = now, true
	if old.defaults == now.defaults {
		return
	}
	for name, e := range t.ingresses {
		if e.read != nil {
			t.read(name, e)
		}
	}
}

func (t *Translator) readConfig(object *corev1.ConfigMap) config {
	name := t.opts.ConfigMap
	c := config{object: object, origin: snapshot.Origin{Kind: "ConfigMap", Namespace: name.Namespace, Name: name.Name}}
	if object == nil {
		c.settings, _ = configmap.Parse(nil)
		c.defaults = defaultSettings
		if name.Name != "" {
			c.judge(Warning, ConfigMapNotFound, "", "ConfigMap %s, which --configmap names, does not exist: the defaults apply. Create it, or remove the flag.", name)
		}
		return c
	}
	c.origin.UID = string(object.UID)
	var problems []configmap.Problem
	c.settings, problems = configmap.Parse(object.Data)
	defaults := c.settings.Annotations
	c.defaults = &defaults
	for _, p := range problems {
		c.judgeKey(&p)
	}
	s := &c.settings
	if s.ForwardedHeaders && len(s.Allow)+len(s.Deny) > 0 {
		for _, key := range []string{"whitelist-source-range", "denylist-source-range", "block-cidrs"} {
			if object.Data[key] != "" {
				c.close(key, "with use-forwarded-headers or enable-real-ip the client is not the one that connects, and Cardea looks at the one that connects")
			}
		}
		s.Allow, s.Deny = nil, nil
	}
	if s.OCSP != annotation.Unset && (s.OCSP == annotation.On) != t.opts.OCSP {
		c.judge(Warning, ConfigMapDiffers, "enable-ocsp", "enable-ocsp: OCSP stapling is decided when the process starts, and it is %s. Set the flag --enable-ocsp accordingly.", map[bool]string{true: "on", false: "off"}[t.opts.OCSP])
	}
	return c
}

func (c *config) judge(level Level, reason Reason, key, format string, args ...any) {
	at := c.origin
	if key != "" {
		at.Field = "data[" + key + "]"
	}
	c.verdicts = append(c.verdicts, Verdict{Level: level, Reason: reason, Origin: at, Message: fmt.Sprintf(format, args...)})
}

func (c *config) judgeKey(p *configmap.Problem) {
	switch {
	case p.Key == nil:
		c.judge(Info, ConfigMapKeyUnknown, p.Name, "Cardea does not apply the key %s; it has no effect.", brief(p.Name))
	case p.Err == nil && p.Loss:
		c.judge(Warning, ConfigMapDiffers, p.Name, "%s: %s", p.Name, p.Note)
	case p.Err == nil:
		c.judge(Info, ConfigMapDiffers, p.Name, "%s: %s", p.Name, p.Note)
	case p.Key.Effect == annotation.Protects:
		c.close(p.Name, p.Err.Error())
	case p.Key.Default == "":
		c.judge(Warning, ConfigMapInvalid, p.Name, "%s: %v. It has no effect.", p.Name, p.Err)
	default:
		c.judge(Warning, ConfigMapInvalid, p.Name, "%s: %v. The default %s applies.", p.Name, p.Err, p.Key.Default)
	}
}

// close closes all paths because of a key.
func (c *config) close(key, why string) {
	c.closed = true
	c.judge(Refused, ConfigMapInvalid, key, "%s: %s. It protects the paths of all Ingresses, so they answer 503 until it is corrected or removed.", key, why)
}

// configPolicy returns the TLS policy of classes without parameters; nil if the ConfigMap
// says nothing of it.
func (t *Translator) configPolicy(verdicts *[]Verdict) *snapshot.TLSPolicy {
	s := &t.config.settings
	if !s.HasPolicy() {
		return nil
	}
	b := policyBuild{origin: t.config.origin, fips: t.opts.FIPS, verdicts: verdicts}
	b.origin.Field = "data"
	from := &v1alpha1.TLSPolicy{MinVersion: "1.2", MaxVersion: "1.3"}
	if s.MinVersion != 0 {
		from.MinVersion, from.MaxVersion = versionName(s.MinVersion), versionName(s.MaxVersion)
	}
	if s.SessionTickets == annotation.Off {
		from.SessionTickets = new(bool)
	}
	b.suites(s.Ciphers, from)
	for _, c := range s.Curves {
		from.Curves = append(from.Curves, curveName(c))
	}
	if problem := unusable(from); problem != "" {
		b.judge(Refused, ConfigMapInvalid, "%s The TLS policy of classes without parameters is intermediate.", problem)
		return snapshot.Intermediate
	}
	return t.policies.intern(b.build("configmap", from))
}

// suites reads ssl-ciphers into the policy.
func (b *policyBuild) suites(ciphers string, into *v1alpha1.TLSPolicy) {
	if ciphers == "" || into.MinVersion == "1.3" {
		return // Go chooses the suites of TLS 1.3 by itself
	}
	at := *b
	at.origin.Field = "data[ssl-ciphers]"
	list := readCiphers(ciphers)
	for _, problem := range list.problems("") {
		at.judge(Warning, CipherSuiteUnsupported, "ssl-ciphers: %s", problem)
	}
	for _, s := range list.suites {
		name := v1alpha1.CipherSuite(tls.CipherSuiteName(s.id))
		into.CipherSuites = append(into.CipherSuites, name)
	}
	if len(list.suites) == 0 {
		at.judge(Warning, CipherSuiteUnsupported, "ssl-ciphers names no suite that Go has, so those of the policy intermediate apply.")
	}
}

// unusable says why no client could connect with a policy, or none with the oldest
// versions that it is to accept.
func unusable(p *v1alpha1.TLSPolicy) string {
	if p.MinVersion < "1.2" && !slices.ContainsFunc(p.CipherSuites, func(s v1alpha1.CipherSuite) bool { return strings.HasSuffix(string(s), "_CBC_SHA") }) {
		return "ssl-protocols names TLS 1.0 or 1.1, and ssl-ciphers no suite that they have, such as ECDHE-RSA-AES128-SHA."
	}
	if p.MinVersion < "1.3" && len(p.Curves) > 0 && !slices.ContainsFunc(p.Curves, func(c v1alpha1.Curve) bool { return !strings.Contains(string(c), "MLKEM") }) {
		return "ssl-ecdh-curve names post-quantum groups alone, which TLS 1.2 does not have."
	}
	return ""
}

func versionName(version uint16) v1alpha1.TLSVersion {
	return v1alpha1.TLSVersion(strings.TrimPrefix(tls.VersionName(version), "TLS "))
}

func curveName(id tls.CurveID) v1alpha1.Curve {
	for name, c := range curveByName {
		if c == id {
			return name
		}
	}
	return ""
}

// judgeOverruled tells the owner of the ConfigMap that a class has parameters, which
// decide its TLS policies.
func (o *overlay) judgeOverruled(c *config, class snapshot.Origin) {
	if !c.settings.HasPolicy() {
		return
	}
	at := c.origin
	at.Field = "data"
	o.judge(Verdict{Level: Info, Reason: ConfigMapOverruled, Origin: at, Other: class},
		"IngressClass %s has parameters, and they decide the TLS policies of its hosts: ssl-protocols, ssl-ciphers, ssl-ecdh-curve and ssl-session-tickets count for classes without parameters.", class.Name)
}

// takeConfig applies what the ConfigMap says for the process as a whole; what
// parameters say is applied after it.
func (o *overlay) takeConfig(c *config) {
	o.closed = c.closed
	if o.without.policy != snapshot.Intermediate {
		o.tlsPolicy = o.without.policy
	}
	if c.settings.RejectUnknown {
		o.unknownSNI, o.process.RejectUnknownSNI = snapshot.UnknownSNIReject, true
	}
	if c.settings.ForwardedHeaders {
		o.trusted = slices.Concat(o.trusted, c.settings.Proxies)
	}
}

// connections adds what the ConfigMap says of connections to what parameters say,
// which may be nothing: nil.
func (c *config) connections(p *snapshot.ConnectionPolicy) *snapshot.ConnectionPolicy {
	s := &c.settings
	all := snapshot.ConnectionPolicy{Origin: c.origin}
	if p != nil {
		all = *p
	}
	if len(all.Allow) == 0 {
		all.Allow = s.Allow
	}
	if len(all.Deny) == 0 {
		all.Deny = s.Deny
	}
	if s.ProxyProtocol && all.ProxyProtocol == nil {
		all.ProxyProtocol, all.ProxyTimeout = s.Proxies, s.ProxyTimeout
	}
	if p == nil && reflect.DeepEqual(all, snapshot.ConnectionPolicy{Origin: c.origin}) {
		return nil
	}
	return &all
}
