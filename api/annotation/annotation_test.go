package annotation_test

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cardea-dev/cardea/api/annotation"
	"github.com/cardea-dev/cardea/test/page"
)

var update = flag.Bool("update", false, "write docs/annotations.md")

func TestTableIsSortedAndDocumented(t *testing.T) {
	last := ""
	for _, a := range annotation.All() {
		if a.Name <= last {
			t.Errorf("row %q follows %q, want rows sorted and unique", a.Name, last)
		}
		last = a.Name
		if a.Text == "" || !strings.HasSuffix(a.Text, ".") {
			t.Errorf("row %q: Text = %q, want sentences", a.Name, a.Text)
		}
		if !a.Supported() && a.Default != "" {
			t.Errorf("row %q: not supported, with Default %q", a.Name, a.Default)
		}
	}
}

func TestDefaults(t *testing.T) {
	want := annotation.Settings{
		SSLRedirect:    true,
		ConnectTimeout: 5 * time.Second,
		ReadTimeout:    time.Minute,
		SendTimeout:    time.Minute,
		MaxBody:        1 << 20,
		Tries:          3,
		HTTP2:          true,

		SSLPreferServerCiphers: true,
	}
	got, problems := annotation.Parse(nil)
	if diff := cmp.Diff(want, got); diff != "" || len(problems) > 0 {
		t.Errorf("Parse(nil): problems %v, settings (-want +got):\n%s", problems, diff)
	}
}

func TestParse(t *testing.T) {
	with := func(change func(*annotation.Settings)) annotation.Settings {
		s := annotation.Defaults()
		change(&s)
		return s
	}
	for _, tt := range []struct {
		name     string
		in       map[string]string
		want     annotation.Settings
		problems []string
	}{
		{
			name: "both prefixes",
			in: map[string]string{
				"cardea.dev/ssl-redirect":                        "false",
				"nginx.ingress.kubernetes.io/proxy-read-timeout": "3600",
			},
			want: with(func(s *annotation.Settings) { s.SSLRedirect, s.ReadTimeout = false, time.Hour }),
		},
		{
			name: "own prefix wins over a broken foreign value",
			in: map[string]string{
				"cardea.dev/proxy-body-size":                  "8m",
				"nginx.ingress.kubernetes.io/proxy-body-size": "lots",
			},
			want: with(func(s *annotation.Settings) { s.MaxBody = 8 << 20 }),
		},
		{
			name: "white space around a value is ignored",
			in:   map[string]string{"cardea.dev/force-ssl-redirect": " true\n"},
			want: with(func(s *annotation.Settings) { s.ForceSSLRedirect = true }),
		},
		{
			name: "a bad value leaves the default",
			in:   map[string]string{"cardea.dev/proxy-connect-timeout": "5s"},
			want: annotation.Defaults(),
			problems: []string{
				`cardea.dev/proxy-connect-timeout shapes: want whole seconds from 1 to 31536000 without a unit, found "5s"`,
			},
		},
		{
			name: "a long value is quoted in part",
			in:   map[string]string{"cardea.dev/proxy-next-upstream-tries": strings.Repeat("9", 1000)},
			want: annotation.Defaults(),
			problems: []string{
				`cardea.dev/proxy-next-upstream-tries shapes: want a whole number from 1 to 100, found "` + strings.Repeat("9", 40) + `…"`,
			},
		},
		{
			name: "a protecting annotation that is not supported is a problem",
			in:   map[string]string{"nginx.ingress.kubernetes.io/auth-url": "https://auth.example.com"},
			want: annotation.Defaults(),
			problems: []string{
				"nginx.ingress.kubernetes.io/auth-url protects: not supported by Cardea",
			},
		},
		{
			name: "unless its value switches it off",
			in:   map[string]string{"nginx.ingress.kubernetes.io/enable-modsecurity": "false"},
			want: annotation.Defaults(),
		},
		{
			name:     "one that shapes and is not supported is a problem, too",
			in:       map[string]string{"nginx.ingress.kubernetes.io/rewrite-target": "/$2", "nginx.ingress.kubernetes.io/use-regex": "false"},
			want:     annotation.Defaults(),
			problems: []string{"nginx.ingress.kubernetes.io/rewrite-target shapes: not supported by Cardea"},
		},
		{
			name: "a canary is known",
			in:   map[string]string{"nginx.ingress.kubernetes.io/canary": "true"},
			want: with(func(s *annotation.Settings) { s.Canary = true }),
		},
		{
			name: "words are read in either case",
			in:   map[string]string{"nginx.ingress.kubernetes.io/backend-protocol": "grpc"},
			want: with(func(s *annotation.Settings) { s.Backend = annotation.ProtocolGRPC }),
		},
		{
			name: "TLS to the backend",
			in:   map[string]string{"nginx.ingress.kubernetes.io/backend-protocol": "https"},
			want: with(func(s *annotation.Settings) { s.Backend = annotation.ProtocolHTTPS }),
		},
		{
			name:     "a backend whose protocol is not known is not spoken to",
			in:       map[string]string{"cardea.dev/backend-protocol": "FCGI"},
			want:     annotation.Defaults(),
			problems: []string{`cardea.dev/backend-protocol protects: want AUTO, HTTP, HTTPS, GRPC or GRPCS, found "FCGI"`},
		},
		{
			name:     "unknown under our prefixes, foreign otherwise",
			in:       map[string]string{"cardea.dev/sl-redirect": "true", "example.com/ssl-redirect": "false"},
			want:     annotation.Defaults(),
			problems: []string{"cardea.dev/sl-redirect unknown"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, problems := annotation.Parse(tt.in)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Parse(%v) (-want +got):\n%s", tt.in, diff)
			}
			var texts []string
			for _, p := range problems {
				if p.Annotation == nil {
					texts = append(texts, p.Key+" unknown")
					continue
				}
				texts = append(texts, fmt.Sprintf("%s %s: %s", p.Key, p.Annotation.Effect, p.Err))
			}
			if diff := cmp.Diff(tt.problems, texts); diff != "" {
				t.Errorf("Parse(%v): problems (-want +got):\n%s", tt.in, diff)
			}
		})
	}
}

func TestSizes(t *testing.T) {
	for _, tt := range []struct {
		value string
		want  int64
		ok    bool
	}{
		{"0", 0, true},
		{"1048576", 1 << 20, true},
		{"12b", 12, true},
		{"512k", 512 << 10, true},
		{"8M", 8 << 20, true},
		{"2g", 2 << 30, true},
		{"9223372036854775807", 1<<63 - 1, true},
		{"9223372036854775808", 0, false},
		{"8589934592g", 0, false},
		{"8mb", 0, false},
		{"8 m", 0, false},
		{"-1", 0, false},
		{"+1", 0, false},
		{"1.5m", 0, false},
		{"m", 0, false},
		{"", 0, false},
	} {
		got, problems := annotation.Parse(map[string]string{"cardea.dev/proxy-body-size": tt.value})
		if ok := len(problems) == 0; ok != tt.ok {
			t.Errorf("proxy-body-size %q: accepted %v, want %v", tt.value, ok, tt.ok)
		}
		if tt.ok && got.MaxBody != tt.want {
			t.Errorf("proxy-body-size %q = %d, want %d", tt.value, got.MaxBody, tt.want)
		}
	}
}

// FuzzParse holds that a value either sets its field within bounds or leaves the
// settings as they were and makes one problem.
func FuzzParse(f *testing.F) {
	for _, a := range annotation.All() {
		for _, value := range []string{a.Default, "true", "off", "60", "8m", "", " 1", "18446744073709551616", "9g9g"} {
			f.Add(a.Name, value)
		}
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		s, problems := annotation.Parse(map[string]string{annotation.Nginx + name: value})
		own, _ := annotation.Parse(map[string]string{annotation.Own + name: value})
		if own != s {
			t.Errorf("Parse(%q: %q) = %+v, with the own prefix %+v", name, value, s, own)
		}
		if len(problems) > 1 || len(problems) == 1 && s != annotation.Defaults() {
			t.Errorf("Parse(%q: %q) = %+v, %d problems", name, value, s, len(problems))
		}
		for _, d := range []time.Duration{s.ConnectTimeout, s.ReadTimeout, s.SendTimeout} {
			if d < time.Second || d > 365*24*time.Hour {
				t.Errorf("Parse(%q: %q): duration %v out of bounds", name, value, d)
			}
		}
		if s.MaxBody < 0 || s.Tries < 1 || s.Tries > 100 {
			t.Errorf("Parse(%q: %q): MaxBody %d, Tries %d out of bounds", name, value, s.MaxBody, s.Tries)
		}
	})
}

// TestDocumentation holds docs/annotations.md equal to the table; -update writes
// it.
func TestDocumentation(t *testing.T) { page.Hold(t, "annotations.md", markdown(), *update) }

func markdown() string {
	var b strings.Builder
	b.WriteString(`# Annotations

<!-- Generated from api/annotation by "go test ./api/annotation -update". -->

Cardea reads the annotations of an Ingress under two prefixes: ` + "`" + annotation.Own + "` and `" + annotation.Nginx + "`" + `. Where both are
written, the first counts. A name that is in none of the tables below has no effect, and the owner of the Ingress is told so
(verdict ` + "`AnnotationUnknown`" + `): it is most likely misspelt.

What happens to a value that cannot be used depends on the annotation. One that *shapes* falls back to its default. One that
*protects* closes the paths of its Ingress, which then answer 503 with the reason ` + "`config_rejected`" + `: a typing error never opens a door.
The challenge paths of ACME HTTP-01 stay open either way.

## Supported

| name | kind | default | effect | meaning |
| --- | --- | --- | --- | --- |
`)
	for _, a := range annotation.All() {
		if a.Supported() {
			dflt := ""
			if a.Default != "" {
				dflt = "`" + a.Default + "`"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", a.Name, a.Kind, dflt, a.Effect, a.Text)
		}
	}
	b.WriteString(`
## Not supported: the paths are closed

These annotations of ingress-nginx protect, and Cardea does not have the feature. To ignore them could let in what they keep out, so the
paths of an Ingress that uses one answer 503 (verdict ` + "`AnnotationUnsupported`" + `). A value that switches the feature off is accepted.

| name | kind | meaning |
| --- | --- | --- |
`)
	for _, a := range annotation.All() {
		if !a.Supported() && a.Effect == annotation.Protects {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", a.Name, a.Kind, a.Text)
		}
	}
	b.WriteString(`
## Not supported: no effect

These annotations of ingress-nginx shape, and Cardea does not have the feature. The Ingress is served without it, and its owner is told (verdict
` + "`AnnotationUnsupported`" + `, a warning). A value that asks for what Cardea does anyway is accepted.

| name | meaning |
| --- | --- |
`)
	for _, a := range annotation.All() {
		if !a.Supported() && a.Effect == annotation.Shapes {
			fmt.Fprintf(&b, "| `%s` | %s |\n", a.Name, a.Text)
		}
	}
	b.WriteString(`
## Kinds

| kind | value |
| --- | --- |
| bool | ` + "`true` or `false`" + ` |
| seconds | whole seconds without a unit, from 1 |
| size | bytes, or with one of the units ` + "`k`, `m`, `g`" + ` |
| count | a whole number, from 1 |
| text | anything |
| word | one of the words named, in either case |
| secretRef, configMapRef | ` + "`name` or `namespace/name`" + ` |
| serviceRef | ` + "`name`" + ` |
`)
	return b.String()
}
