// The language of the scenarios.
//
// A file of the archive is a manifest of the folder that is served, but for
// "script", and for those whose name holds a '#', which the script writes later.
// Lines of its comment that begin with "--" are flags. In manifests stand for
// something:
//
//	${service:NAME}         a Service with port 80, named http, before a backend of that name
//	${service:NAME@NS}      the same in a namespace
//	${service:NAME->PORT}   the same with an endpoint on that loopback port
//	${service:NAME->}       the same without endpoints
//	${tls:HOST,...}         the data of a TLS Secret with a certificate for these names
//	${tls-rsa:HOST,...}     the same with an RSA key
//	${tls-expired:HOST}     the same, expired
//	${port:NAME}            the loopback port of a backend
//
// A line of the script that is not indented does something; the indented lines
// below it say what must come of it:
//
//	METHOD URL                send a request           status N, from BACKEND, target T, serial [not] X,
//	                                                   header NAME: VALUE, sees NAME: VALUE, misses NAME,
//	                                                   body TEXT, KEY=VALUE of the access log,
//	                                                   with NAME: VALUE (of the request), fails,
//	                                                   as NAME, as stranger NAME (with a certificate
//	                                                   of the test's authority, or of another)
//	until METHOD URL          the same, again until all of it holds
//	keep X METHOD URL         the same, and remember the certificate's serial as X
//	handshake NAME [VERSION [CIPHER]]
//	                          do a TLS handshake       ok, fails, KEY=VALUE of the handshake log
//	distrust NAME             the same with a client that trusts nobody
//	upgrade URL               open a tunnel and echo   status N
//	write FILE from FILE#N    write a file
//	remove FILE               remove a file
//	log TEXT                  wait for TEXT in the program's own log
//	metric LINE               wait for a line of /metrics that begins so

package features

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/cardea-dev/cardea/test/harness"
)

// A scenario is one file while it runs.
type scenario struct {
	t         *testing.T
	authority *harness.Authority
	program   *harness.Program
	client    *harness.Client
	files     map[string]string
	backends  map[string]int
	serials   map[string]string
}

func run(t *testing.T, a *txtar.Archive) {
	s := &scenario{
		t: t, authority: harness.NewAuthority(t),
		files: make(map[string]string), backends: make(map[string]int), serials: make(map[string]string),
	}
	dir := t.TempDir()
	for _, f := range a.Files {
		s.files[f.Name] = string(f.Data)
		if f.Name != "script" && !strings.Contains(f.Name, "#") {
			harness.Write(t, dir, f.Name, s.expand(string(f.Data)))
		}
	}
	s.program = harness.Serve(t, dir, flags(string(a.Comment))...)
	s.client = s.program.Client(s.authority)
	steps := parse(t, s.files["script"])
	before := s.spec()
	for _, st := range steps {
		s.do(st)
	}
	// What is served is immutable: requests and handshakes leave it as it was.
	if after := s.spec(); !writes(steps) && before != after {
		t.Errorf("the Spec changed while nobody changed it (-before +after):\n%s", cmp.Diff(before, after))
	}
}

// flags returns those that the comment of a file gives: lines that begin with "--".
func flags(comment string) (all []string) {
	for line := range strings.Lines(comment) {
		if strings.HasPrefix(line, "--") {
			all = append(all, strings.Fields(line)...)
		}
	}
	return all
}

func (s *scenario) spec() string {
	s.t.Helper()
	page, err := s.program.Get(s.program.Debug, "/debug/spec")
	if err != nil {
		s.t.Fatal(err)
	}
	return page
}

func writes(steps []step) bool {
	return slices.ContainsFunc(steps, func(s step) bool {
		return strings.HasPrefix(s.text, "write ") || strings.HasPrefix(s.text, "remove ")
	})
}

// A step is a line of the script with the indented lines below it.
type step struct {
	line int
	text string
	want []string
}

func parse(t *testing.T, script string) (steps []step) {
	for i, l := range strings.Split(script, "\n") {
		text := strings.TrimSpace(l)
		switch {
		case text == "" || text[0] == '#':
		case l[0] == ' ' || l[0] == '\t':
			if len(steps) == 0 {
				t.Fatalf("script:%d: nothing to expect this of", i+1)
			}
			last := &steps[len(steps)-1]
			last.want = append(last.want, text)
		default:
			steps = append(steps, step{line: i + 1, text: text})
		}
	}
	if len(steps) == 0 {
		t.Fatal("the script is empty")
	}
	return steps
}

func (s *scenario) do(st step) {
	s.t.Helper()
	fail := func(err error) {
		s.t.Helper()
		if err != nil {
			s.t.Errorf("script:%d: %s: %v", st.line, st.text, err)
		}
	}
	verb, rest, _ := strings.Cut(st.text, " ")
	switch verb {
	case "until":
		s.program.Until(fmt.Sprintf("script:%d: %s", st.line, st.text), func() error { return s.request(rest, st.want, "") })
	case "keep":
		name, request, _ := strings.Cut(rest, " ")
		fail(s.request(request, st.want, name))
	case "handshake", "distrust":
		fail(s.handshake(verb, rest, st.want))
	case "upgrade":
		fail(s.upgrade(rest, st.want))
	case "write":
		name, from, _ := strings.Cut(rest, " from ")
		text, ok := s.files[from]
		if !ok {
			s.t.Fatalf("script:%d: there is no %q", st.line, from)
		}
		s.program.Write(name, s.expand(text))
	case "remove":
		s.program.Remove(rest)
	case "log":
		s.program.Until(fmt.Sprintf("script:%d: %q in the log", st.line, rest), func() error {
			if !strings.Contains(s.program.Stderr(), rest) {
				return fmt.Errorf("it is not there")
			}
			return nil
		})
	case "metric":
		s.program.Until(fmt.Sprintf("script:%d: %q in the metrics", st.line, rest), func() error {
			page, err := s.program.Get(s.program.Admin, "/metrics")
			if err == nil && !strings.Contains("\n"+page, "\n"+rest) {
				err = fmt.Errorf("it is not there")
			}
			return err
		})
	default:
		if verb != strings.ToUpper(verb) {
			s.t.Fatalf("script:%d: unknown command %q", st.line, verb)
		}
		fail(s.request(st.text, st.want, ""))
	}
}

// request sends a request and compares what came of it with want.
func (s *scenario) request(line string, want []string, keep string) error {
	method, url, _ := strings.Cut(line, " ")
	header := make(http.Header)
	client := s.client
	for _, w := range want {
		if name, ok := strings.CutPrefix(w, "as "); ok {
			client = s.as(name)
		}
		if h, ok := strings.CutPrefix(w, "with "); ok {
			k, v, _ := strings.Cut(h, ": ")
			header.Add(k, v)
		}
	}
	a, err := client.Do(method, url, header)
	if err != nil {
		if slices.Contains(want, "fails") {
			return nil
		}
		return err
	}
	if keep != "" {
		s.serials[keep] = a.Serial
	}
	var log harness.Record
	for _, w := range want {
		key, value, _ := strings.Cut(w, " ")
		name, text, _ := strings.Cut(value, ": ")
		var got string
		switch key {
		case "with", "as":
			continue
		case "fails":
			return fmt.Errorf("there was an answer: %d", a.Status)
		case "status":
			got = strconv.Itoa(a.Status)
		case "from":
			got = a.Seen.Backend
		case "host":
			got = a.Seen.Host
		case "target":
			got = a.Seen.Target
		case "header":
			got, value = a.Header.Get(name), text
		case "sees":
			got, value = a.Seen.Header.Get(name), text
		case "misses":
			got, value = a.Seen.Header.Get(value), ""
		case "body":
			if strings.Contains(a.Body, value) {
				continue
			}
			got = a.Body
		case "serial":
			if other, not := strings.CutPrefix(value, "not "); not {
				if a.Serial == s.serials[other] {
					return fmt.Errorf("the certificate is still %s", other)
				}
				continue
			}
			got, value = a.Serial, s.serials[value]
		default:
			var ok bool
			if key, value, ok = strings.Cut(w, "="); !ok {
				return fmt.Errorf("unknown expectation %q", w)
			}
			if log == nil {
				log = s.program.Log(a)
			}
			got = field(log, key)
		}
		if got != value {
			return fmt.Errorf("%s = %q, want %q (status %d)", strings.Fields(w)[0], got, value, a.Status)
		}
	}
	return nil
}

// as returns the client with a certificate.
func (s *scenario) as(name string) *harness.Client {
	if name, stranger := strings.CutPrefix(name, "stranger "); stranger {
		return s.client.As(harness.NewAuthority(s.t).Client(name))
	}
	return s.client.As(s.authority.Client(name))
}

var versions = map[string]uint16{"1.0": tls.VersionTLS10, "1.1": tls.VersionTLS11, "1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

func (s *scenario) handshake(verb, rest string, want []string) error {
	name, rest, _ := strings.Cut(rest, " ")
	version, suite, _ := strings.Cut(rest, " ")
	client := s.client
	for _, w := range want {
		if name, ok := strings.CutPrefix(w, "as "); ok {
			client = s.as(name)
		}
	}
	log, err := client.Handshake(name, func(c *tls.Config) {
		if v := versions[version]; v != 0 {
			c.MinVersion, c.MaxVersion = v, v
		}
		for _, known := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
			if known.Name == suite {
				c.CipherSuites = []uint16{known.ID}
			}
		}
		if verb == "distrust" {
			c.RootCAs = harness.NewAuthority(s.t).Pool()
		}
	})
	for _, w := range want {
		key, value, isField := strings.Cut(w, "=")
		switch {
		case w == "ok" && err != nil:
			return err
		case w == "fails" && err == nil:
			return fmt.Errorf("it went well")
		case isField && field(log, key) != value:
			return fmt.Errorf("%s = %q, want %q in %v", key, field(log, key), value, log)
		}
	}
	return nil
}

func (s *scenario) upgrade(url string, want []string) error {
	status, echo, err := s.client.Upgrade(url, "through the tunnel")
	if err != nil {
		return err
	}
	for _, w := range want {
		if w != fmt.Sprintf("status %d", status) {
			return fmt.Errorf("status %d, want %q", status, w)
		}
	}
	if status == http.StatusSwitchingProtocols && echo != "through the tunnel" {
		return fmt.Errorf("echo %q", echo)
	}
	return nil
}

func field(r harness.Record, key string) string {
	if v, ok := r[key]; ok {
		return fmt.Sprint(v)
	}
	return ""
}

var variable = regexp.MustCompile(`\$\{([a-z-]+):([^}]*)\}`)

// expand replaces what stands for something.
func (s *scenario) expand(text string) string {
	return variable.ReplaceAllStringFunc(text, func(v string) string {
		m := variable.FindStringSubmatch(v)
		kind, arg := m[1], m[2]
		names := strings.Split(arg, ",")
		switch kind {
		case "service":
			return s.service(arg)
		case "port":
			return strconv.Itoa(s.backend(arg))
		case "port-tls":
			return strconv.Itoa(s.tlsBackend(arg))
		case "service-tls":
			return harness.Service("default", arg, s.tlsBackend(arg))
		case "ca":
			if arg == "other" {
				return harness.NewAuthority(s.t).Bundle()
			}
			return s.authority.Bundle()
		case "tls":
			return s.authority.Data(harness.Leaf{Names: names})
		case "tls-rsa":
			return s.authority.Data(harness.Leaf{Names: names, RSA: true})
		case "tls-expired":
			return s.authority.Data(harness.Leaf{Names: names, NotAfter: time.Now().Add(-time.Minute)})
		}
		s.t.Fatalf("unknown variable %s", v)
		return ""
	})
}

func (s *scenario) service(arg string) string {
	arg, to, fixed := strings.Cut(arg, "->")
	name, namespace, ok := strings.Cut(arg, "@")
	if !ok {
		namespace = "default"
	}
	switch {
	case !fixed:
		return harness.Service(namespace, name, s.backend(name))
	case to == "":
		return harness.Service(namespace, name)
	}
	port, err := strconv.Atoi(to)
	if err != nil {
		s.t.Fatal(err)
	}
	return harness.Service(namespace, name, port)
}

func (s *scenario) backend(name string) int {
	if _, ok := s.backends[name]; !ok {
		s.backends[name] = harness.Backend(s.t, name)
	}
	return s.backends[name]
}

// tlsBackend starts a backend over TLS, with a certificate for the names that its
// Service has in the namespaces that scripts use.
func (s *scenario) tlsBackend(name string) int {
	if _, ok := s.backends["tls "+name]; !ok {
		certPEM, keyPEM := s.authority.Issue(harness.Leaf{Names: []string{name + ".default.svc", name + ".shop.svc"}})
		c, err := tls.X509KeyPair([]byte(certPEM), []byte(keyPEM))
		if err != nil {
			s.t.Fatal(err)
		}
		s.backends["tls "+name] = harness.TLSBackend(s.t, name, c)
	}
	return s.backends["tls "+name]
}

// Examples are served as they are in the repository, with the Secret that their
// README tells to make, and with the ports of the test's backends for theirs.
func TestExamples(t *testing.T) {
	names, err := filepath.Glob("../../examples/*/test.txtar")
	if err != nil || len(names) == 0 {
		t.Fatalf("%d examples, %v", len(names), err)
	}
	for _, name := range names {
		t.Run(filepath.Base(filepath.Dir(name)), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			ports := strings.NewReplacer("8081", "${port:web}", "8082", "${port:api}", "8443", "${port-tls:web}")
			manifests, err := filepath.Glob(filepath.Join(filepath.Dir(name), "*.yaml"))
			if err != nil || len(manifests) == 0 {
				t.Fatalf("%d manifests, %v", len(manifests), err)
			}
			for _, m := range manifests {
				a.Files = append(a.Files, txtar.File{Name: filepath.Base(m), Data: []byte(ports.Replace(string(readFile(t, m))))})
			}
			run(t, a)
		})
	}
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
