package cli_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/cmd/cli"
	"github.com/cardea-dev/cardea/test/harness"
)

// call runs a command to its end.
func call(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = cli.Main(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestUsageErrors(t *testing.T) {
	dir := t.TempDir()
	for _, tc := range []struct {
		args string
		want string // in the standard error
	}{
		{"nonsense", `unknown command "nonsense"`},
		{"serve", "--manifests is required"},
		{"serve extra", `unexpected argument "extra"`},
		{"serve --manifests DIR --no-such-flag", "unknown flag: --no-such-flag"},
		{"serve --manifests DIR --http-addr nonsense", `--http-addr "nonsense"`},
		{"serve --manifests DIR --http-addr=", "--http-addr"},
		{"serve --manifests DIR --log-format xml", "want json or text"},
		{"serve --manifests DIR --log-level loud", "want debug, info, warn or error"},
		{"serve --manifests DIR --handshake-log some", "want all, failures or off"},
		{"serve --manifests DIR --handshake-log-sample-ok 1.5", "share of good handshakes 1.5, want 0 to 1"},
		{"serve --manifests DIR --handshake-log-fields sni,password", `no field "password"`},
		{"serve --manifests DIR --max-connections -1", "want 0 or more"},
		{"serve --manifests DIR --max-handshakes -1", "want 0 or more"},
		{"serve --manifests DIR --external-https-port 70000", "want a port"},
		{"serve --manifests DIR --shutdown-delay -1s", "want 0 or more"},
		{"serve --manifests DIR --metrics-max-hosts 0", "want 1 or more"},
		{"serve --manifests DIR --default-tls-cert x.pem", "go together"},
		{"check --manifests DIR --fail-on nothing", "want info, warning or refused"},
		{"check --manifests DIR -o yaml", "want text or json"},
		{"check --manifests DIR --kubeconfig x", "exclude each other"},
		{"explain", "want one URL"},
		{"explain https://a.example.com --manifests DIR --admin 127.0.0.1:1", "exclude each other"},
		{"controller --publish-service name", "want NAMESPACE/NAME"},
		{"controller --publish-service a/b --publish-address 192.0.2.1", "exclude each other"},
		{"controller --watch-namespace a --secret-namespaces b", "exclude each other"},
		{"controller --events-client-address some", "want full, prefix or none"},
		{"controller --default-ssl-certificate x", "want NAMESPACE/NAME"},
		{"controller --shutdown-delay 1s --shutdown-grace-period 1", "are the same"},
		{"controller --webhook-addr nonsense", "want HOST:PORT"},
		{"controller --validating-webhook :8443 --webhook-secret=", "is empty"},
		{"controller --publish-node-addresses both", "want external or internal"},
		{"controller --publish-node-addresses external --publish-address 192.0.2.1", "excludes"},
	} {
		args := strings.Fields(strings.ReplaceAll(tc.args, "DIR", dir))
		code, out, errs := call(t, args...)
		if code != 2 || !strings.Contains(errs, tc.want) || !strings.Contains(errs, "--help' for usage") || out != "" {
			t.Errorf("cardea %s = %d, %q, %q, want 2 and %q", tc.args, code, out, errs, tc.want)
		}
	}
}

func TestUnreadableInput(t *testing.T) {
	dir := t.TempDir()
	harness.Write(t, dir, "bad.pem", "nonsense")
	none := filepath.Join(dir, "none")
	listen := []string{"--http-addr", "127.0.0.1:0", "--https-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--debug-addr", ""}
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"check", "--manifests", none}, "no such file"},
		{[]string{"explain", "https://a.example.com/", "--manifests", none}, "no such file"},
		{[]string{"explain", "a.example.com", "--manifests", dir}, "want a URL"},
		{[]string{"explain", "https://a.example.com/", "--admin", "127.0.0.1:1"}, "no process answers"},
		{[]string{"check", "--kubeconfig", none}, "no such file"},
		{[]string{"controller", "--kubeconfig", none}, "no such file"},
		{append([]string{"serve", "--manifests", none}, listen...), "no such file"},
		{append([]string{"serve", "--manifests", dir, "--default-tls-cert", none, "--default-tls-key", none}, listen...), "--default-tls-cert"},
		{append([]string{"serve", "--manifests", dir, "--default-tls-cert", filepath.Join(dir, "bad.pem"), "--default-tls-key", filepath.Join(dir, "bad.pem")}, listen...), "failed to find any PEM data"},
	} {
		if code, _, errs := call(t, tc.args...); code != 2 || !strings.Contains(errs, tc.want) {
			t.Errorf("cardea %v = %d, %q, want 2 and %q", tc.args, code, errs, tc.want)
		}
	}
}

func TestAddressInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, flag := range []string{"--http-addr", "--https-addr", "--admin-addr", "--debug-addr"} {
		args := []string{"serve", "--manifests", t.TempDir()}
		for _, f := range []string{"--http-addr", "--https-addr", "--admin-addr", "--debug-addr"} {
			addr := "127.0.0.1:0"
			if f == flag {
				addr = l.Addr().String()
			}
			args = append(args, f, addr)
		}
		want := fmt.Sprintf("cardea: %s %s: ", flag, l.Addr())
		if code, _, errs := call(t, args...); code != 1 || !strings.Contains(errs, want) || !strings.Contains(errs, "address already in use") {
			t.Errorf("%s in use: %d, %q, want 1 and %q", flag, code, errs, want)
		}
	}
}

// The words of the help are part of the interface: each begins with a capital and
// ends with a period.
func TestHelp(t *testing.T) {
	flag := regexp.MustCompile(`^ +(?:-\w, )?--([a-z-]+)(?: \w+)? {2,}(.*)$`)
	for _, command := range []string{"", "demo", "serve", "controller", "check", "explain", "version"} {
		code, out, errs := call(t, append(strings.Fields(command), "--help")...)
		if code != 0 || errs != "" {
			t.Errorf("cardea %s --help = %d, %q, want 0", command, code, errs)
		}
		if first, _, _ := strings.Cut(out, "\n"); first == "" || first != strings.TrimSpace(first) {
			t.Errorf("cardea %s --help begins with %q", command, first)
		}
		for l := range strings.Lines(out) {
			m := flag.FindStringSubmatch(strings.TrimSuffix(l, "\n"))
			if m == nil {
				continue
			}
			usage, _, _ := strings.Cut(m[2], " (default ")
			plain := strings.HasPrefix(usage, "--") || usage[:1] == strings.ToUpper(usage[:1])
			if !plain || !strings.HasSuffix(usage, ".") {
				t.Errorf("cardea %s --%s: %q, want a sentence", command, m[1], usage)
			}
		}
	}
	if code, out, _ := call(t, "version"); code != 0 || !regexp.MustCompile(`^cardea \S+ go\S+ \S+/\S+ fips140=\S+\n$`).MatchString(out) {
		t.Errorf("cardea version = %d, %q", code, out)
	}
}

var curlLine = regexp.MustCompile(`(?m)^  curl (.*)$`)

// The lines that demo prints work as they are printed.
func TestDemo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "it's a demo")
	p := harness.Start(t, "demo", "--dir", dir, "--log-format", "json")
	p.Until("it prints what to do", func() error {
		if !strings.Contains(p.Stdout(), "it is live") {
			return fmt.Errorf("not yet")
		}
		return nil
	})
	lines := curlLine.FindAllStringSubmatch(p.Stdout(), -1)
	if len(lines) != 4 {
		t.Fatalf("%d curl lines, want 4:\n%s", len(lines), p.Stdout())
	}
	type echo struct{ Service, Target string }
	var got echo
	for i, want := range []echo{{"web", "/"}, {"api", "/api/orders?id=7"}} {
		res, err := curl(t, lines[i][1])
		if err != nil {
			t.Fatalf("curl %s: %v", lines[i][1], err)
		}
		if err := json.Unmarshal(res.body, &got); err != nil || res.status != 200 || got != want {
			t.Errorf("curl %s = %d %s, want 200 and %v", lines[i][1], res.status, res.body, want)
		}
	}
	_, port, _ := net.SplitHostPort(p.HTTPS)
	if res, err := curl(t, lines[2][1]); err != nil || res.status != 308 || res.location != "https://shop.example.com:"+port+"/" {
		t.Errorf("curl %s = %+v, %v, want 308 to port %s", lines[2][1], res, err, port)
	}
	if res, err := curl(t, lines[3][1]); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("curl %s = %+v, %v, want an alert", lines[3][1], res, err)
	}

	// Edit the file, and it is live.
	file := filepath.Join(dir, "ingress.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	edited := strings.Replace(string(text), "path: /api", "path: /api/v2", 1)
	harness.Write(t, dir, "ingress.yaml", edited)
	p.Until("the edit is live", func() error {
		res, err := curl(t, lines[1][1])
		if err == nil && !strings.Contains(string(res.body), `"service": "web"`) {
			err = fmt.Errorf("answered by %s", res.body)
		}
		return err
	})
	if code := p.Stop(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}

	// A second run keeps what was edited and serves with the same certificate.
	p = harness.Start(t, "demo", "--dir", dir)
	p.Until("it is ready", func() error { _, err := p.Get(p.Admin, "/readyz"); return err })
	if again, _ := os.ReadFile(file); string(again) != edited {
		t.Errorf("the second run wrote over the edited file")
	}
}

type curlResult struct {
	status   int
	location string
	body     []byte
}

// curl does what the program curl does with these arguments.
func curl(t *testing.T, args string) (curlResult, error) {
	t.Helper()
	var url, from, to string
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	words := shellWords(args)
	for i := 0; i < len(words); i++ {
		switch w := words[i]; w {
		case "-i":
		case "--cacert":
			i++
			b, err := os.ReadFile(words[i])
			if err != nil || !config.RootCAs.AppendCertsFromPEM(b) {
				t.Fatalf("--cacert %s: %v", words[i], err)
			}
		case "--resolve":
			i++
			parts := strings.Split(words[i], ":")
			from, to = parts[0]+":"+parts[1], parts[2]+":"+parts[1]
		default:
			url = w
		}
	}
	client := http.Client{
		Timeout: harness.Patience,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   config,
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				if addr != from {
					return nil, fmt.Errorf("%s is not %s", addr, from)
				}
				var d net.Dialer
				return d.DialContext(ctx, network, to)
			},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := client.Get(url)
	if err != nil {
		return curlResult{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return curlResult{res.StatusCode, res.Header.Get("Location"), body}, err
}

// shellWords splits a line as a shell does, as far as quote needs it.
func shellWords(line string) (words []string) {
	var word strings.Builder
	quoted, escaped := false, false
	for _, c := range line + " " {
		switch {
		case escaped:
			word.WriteRune(c)
			escaped = false
		case c == '\'':
			quoted = !quoted
		case c == '\\' && !quoted:
			escaped = true
		case c == ' ' && !quoted:
			if word.Len() > 0 {
				words = append(words, word.String())
			}
			word.Reset()
		default:
			word.WriteRune(c)
		}
	}
	return words
}

// An edit of the YAML is served within a fraction of a second. A route that comes
// with its Service is never there without it: no request sees a 503.
func TestRow78EditIsLive(t *testing.T) {
	const edits = 20
	dir := t.TempDir()
	port := harness.Backend(t, "web")
	ingress := func(i int) string {
		return harness.Service("default", fmt.Sprintf("web-%d", i), port) + fmt.Sprintf(`---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec:
  ingressClassName: cardea
  rules:
  - host: edit-%[1]d.example.com
    http:
      paths: [{path: /, pathType: Prefix, backend: {service: {name: web-%[1]d, port: {number: 80}}}}]
`, i)
	}
	harness.Write(t, dir, "ingress.yaml", ingress(0))
	p := harness.Serve(t, dir)
	client := p.Client(harness.NewAuthority(t))
	var took []time.Duration
	for i := 1; i <= edits; i++ {
		url := fmt.Sprintf("http://edit-%d.example.com/", i)
		text := ingress(i)
		start := time.Now()
		p.Write("ingress.yaml", text)
		p.Until(url+" is served", func() error {
			a, err := client.Do("GET", url, nil)
			if err == nil && a.Status != 200 {
				err = fmt.Errorf("status %d", a.Status)
				if a.Status != 404 {
					t.Errorf("%s = %d before it was served, want 404", url, a.Status)
				}
			}
			return err
		})
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	t.Logf("from the edit to the first answer: median %v, max %v of %d edits", took[edits/2], took[edits-1], edits)
	if took[edits/2] > time.Second {
		t.Errorf("the median edit took %v, want at most 1 s", took[edits/2])
	}
}
