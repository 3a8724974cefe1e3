package manifest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	k8sjson "sigs.k8s.io/json"

	"github.com/cardea-dev/cardea/api/gateway"
	"github.com/cardea-dev/cardea/api/v1alpha1"
)

// A kind is a kind of object that is read.
type kind struct {
	apiVersion, name string
	cluster          bool // it has no namespace
	fresh            func() Object
}

var kinds = []kind{
	{"networking.k8s.io/v1", "Ingress", false, func() Object { return &new(roomyIngress).Ingress }},
	{"networking.k8s.io/v1", "IngressClass", true, func() Object { return new(networkingv1.IngressClass) }},
	{v1alpha1.GroupVersion.String(), v1alpha1.Kind, true, func() Object { return new(v1alpha1.IngressClassParameters) }},
	{gateway.GroupVersion.String(), gateway.Kind, false, func() Object { return new(gateway.ReferenceGrant) }},
	{"v1", "Service", false, func() Object { return new(corev1.Service) }},
	{"discovery.k8s.io/v1", "EndpointSlice", false, func() Object { return new(discoveryv1.EndpointSlice) }},
	{"v1", "Secret", false, func() Object { return new(corev1.Secret) }},
	{"v1", "ConfigMap", false, func() Object { return new(corev1.ConfigMap) }},
}

// A roomyIngress keeps Ingresses in a size class of their own. Without its padding
// they share one with the maps of Secrets' data, which go as soon as certificates are
// parsed, and leave half of every page of Ingresses empty: 3.6 MB of 10,000.
type roomyIngress struct {
	networkingv1.Ingress
	_ [32]byte
}

// A found is an object with the place where it was found.
type found struct {
	Object
	line int
}

// A reader reads the documents of one file.
type reader struct {
	file     string
	objects  []found
	problems []Problem
}

// A parsed is what one document of a file gave. Its lines count from the beginning
// of the document.
type parsed struct {
	objects  []found
	problems []Problem
}

// documents holds what the YAML documents of a file gave, sorted by the hash of
// their text: one that did not change is not parsed again, wherever it has moved
// to. It is a slice because there are as many as files, most of them with two
// documents.
type documents []documentOf

type documentOf struct {
	hash [sha256.Size]byte
	parsed
}

func (d documents) find(hash [sha256.Size]byte) (parsed, bool) {
	i, ok := slices.BinarySearchFunc(d, hash, func(x documentOf, h [sha256.Size]byte) int { return bytes.Compare(x.hash[:], h[:]) })
	if !ok {
		return parsed{}, false
	}
	return d[i].parsed, true
}

// read decodes all of content. Whether anything is in error, the problems say. Of
// a YAML file it takes over what is in old, and returns what it has now.
func read(file string, content []byte, old documents) ([]found, []Problem, documents) {
	if filepath.Ext(file) == ".json" {
		r := &reader{file: file}
		docs, errs := parseJSON(content)
		r.all(docs, errs)
		return r.objects, r.problems, nil
	}
	chunks := split(content)
	now := make(documents, 0, len(chunks))
	var objects []found
	var problems []Problem
	for _, c := range chunks {
		hash := sha256.Sum256(c.text)
		p, ok := old.find(hash)
		if !ok {
			p = readChunk(file, c.text)
		}
		now = append(now, documentOf{hash, p})
		for _, o := range p.objects {
			objects = append(objects, found{o.Object, o.line + c.line - 1})
		}
		for _, q := range p.problems {
			q.Line += c.line - 1
			problems = append(problems, q)
		}
	}
	slices.SortFunc(now, func(a, b documentOf) int { return bytes.Compare(a.hash[:], b.hash[:]) })
	return objects, problems, now
}

func readChunk(file string, text []byte) parsed {
	r := &reader{file: file}
	d, err := parseYAML(chunk{text, 1})
	switch {
	case err != nil:
		r.all(nil, []*syntaxError{err})
	case d != nil:
		r.all([]*document{d}, nil)
	}
	return parsed{r.objects, r.problems}
}

func (r *reader) all(docs []*document, errs []*syntaxError) {
	for _, e := range errs {
		r.problems = append(r.problems, Problem{Level: Error, File: r.file, Line: e.line, Message: e.text})
	}
	for _, d := range docs {
		r.document(d)
	}
}

// A head is what says how to read a document.
type head struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
	Items []json.RawMessage `json:"items"`
}

// head returns the head of d. A field of the wrong type counts as empty: it is told
// in full where the object is decoded.
func (d *document) head() head {
	var h head
	if d.root == nil || d.root.find(0, "items") != 0 {
		_ = k8sjson.UnmarshalCaseSensitivePreserveInts(d.json, &h)
		return h
	}
	h.APIVersion, h.Kind = d.root.string(0, "apiVersion"), d.root.string(0, "kind")
	if meta := d.root.find(0, "metadata"); meta != 0 {
		h.Metadata.Name, h.Metadata.Namespace = d.root.string(meta, "name"), d.root.string(meta, "namespace")
	}
	return h
}

// document takes one object, or the items of a list.
func (r *reader) document(d *document) {
	head := d.head()
	if head.Kind == "" || head.APIVersion == "" {
		r.add(d, Error, "", "", "not a Kubernetes object: apiVersion and kind are required")
		return
	}
	if head.Kind == "List" || head.Items != nil && strings.HasSuffix(head.Kind, "List") {
		for i, item := range head.Items {
			r.document(d.item(i, item, head.TypeMeta))
		}
		return
	}
	who := key{head.Kind, head.Metadata.Namespace, head.Metadata.Name}.String()
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == head.Kind })
	if i < 0 {
		r.add(d, Info, who, "kind", "ignored: Cardea does not read objects of this kind")
		return
	}
	if k := kinds[i]; k.apiVersion == head.APIVersion {
		r.object(d, k)
		return
	}
	if group(head.APIVersion) != group(kinds[i].apiVersion) {
		r.add(d, Info, who, "apiVersion", fmt.Sprintf("ignored: a %s of %q is another kind than that of %q", head.Kind, head.APIVersion, kinds[i].apiVersion))
		return
	}
	r.add(d, Error, who, "apiVersion", fmt.Sprintf("%q is not served, use %q", head.APIVersion, kinds[i].apiVersion))
}

func group(apiVersion string) string {
	g, _, ok := strings.Cut(apiVersion, "/")
	switch {
	case !ok:
		return ""
	case g == "extensions": // where Ingress came from
		return "networking.k8s.io"
	}
	return g
}

// item returns the document of item i of a list. Items of a typed list may leave
// out their kind, as those that an API server sends do.
func (d *document) item(i int, text json.RawMessage, list metav1.TypeMeta) *document {
	if name, ok := strings.CutSuffix(list.Kind, "List"); ok && name != "" {
		var fields map[string]json.RawMessage
		if json.Unmarshal(text, &fields) == nil && fields["kind"] == nil {
			fields["kind"], _ = json.Marshal(name)
			fields["apiVersion"], _ = json.Marshal(list.APIVersion)
			text, _ = json.Marshal(fields)
		}
	}
	prefix := index("items", i)
	return &document{json: text, line: d.of(prefix), locate: func() lines {
		l := lines{}
		for path, line := range d.all() {
			if rest, ok := strings.CutPrefix(path, prefix); ok {
				l[strings.TrimPrefix(rest, ".")] = line
			}
		}
		return l
	}}
}

// object decodes, defaults and validates d as an object of kind k.
func (r *reader) object(d *document, k kind) {
	o := k.fresh()
	unknown, err := k8sjson.UnmarshalStrict(d.json, o, k8sjson.DisallowUnknownFields)
	if k.cluster {
		o.SetNamespace("")
	} else if o.GetNamespace() == "" {
		o.SetNamespace(metav1.NamespaceDefault)
	}
	who := keyOf(o).String()
	// What is not base64 is an error of decoding, but for lists of numbers.
	if s, ok := o.(*corev1.Secret); ok && (err != nil || bytes.IndexByte(d.json, '[') >= 0) {
		if path, msg := badBase64(d.json); path != "" {
			r.add(d, Error, key{k.name, s.Namespace, s.Name}.String(), path, msg)
			return
		}
	}
	if err != nil {
		path, msg := typeError(d, err)
		r.add(d, Error, who, path, msg)
		return
	}
	for _, u := range unknown {
		path, msg := "", u.Error()
		if f, ok := u.(k8sjson.FieldError); ok {
			path, msg = f.FieldPath(), "unknown field; it is ignored"
		}
		r.add(d, Warning, who, path, msg)
	}
	setDefaults(o)
	errs, warnings := validate(o)
	for _, w := range warnings {
		r.add(d, Warning, who, w.Field, w.Detail)
	}
	for _, e := range errs {
		r.add(d, Error, who, e.Field, e.ErrorBody())
	}
	if len(errs) > 0 {
		return
	}
	identify(o, d.json)
	shareTexts(o, k)
	r.objects = append(r.objects, found{o, d.line})
}

func (r *reader) add(d *document, level Level, object, path, message string) {
	if path == field.NewPath("").String() {
		path = ""
	}
	r.problems = append(r.problems, Problem{Level: level, File: r.file, Line: d.of(path), Object: object, Field: path, Message: message})
}

// identify gives o what an API server would: a UID that is the same for the same
// name in every run, and a version that changes with the content.
func identify(o Object, text []byte) {
	if o.GetUID() == "" {
		k := keyOf(o)
		h := sha256.Sum256([]byte(k.kind + "\x00" + k.namespace + "\x00" + k.name))
		u := hex.EncodeToString(h[:16])
		o.SetUID(types.UID(u[:8] + "-" + u[8:12] + "-" + u[12:16] + "-" + u[16:20] + "-" + u[20:]))
	}
	h := sha256.Sum256(text)
	o.SetResourceVersion(hex.EncodeToString(h[:8]))
}

// typeError turns a decoding error into a path and a message for a user.
func typeError(d *document, err error) (path, msg string) {
	if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		value, _, _ := strings.Cut(t.Value, " ")
		msg = fmt.Sprintf("%s found where %s is wanted", value, wanted(t.Type))
		if t.Type.Kind() == reflect.String && (value == "bool" || value == "number") {
			msg += "; put it in quotes"
		}
		return pathAt(d.json, int(t.Offset)), msg
	}
	return "", strings.TrimPrefix(err.Error(), "json: ")
}

func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "an object"
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number"
	default:
		return t.String()
	}
}

// badBase64 looks for values of a Secret's data that are not base64. It quotes
// none of them.
func badBase64(text []byte) (path, msg string) {
	var s struct {
		Data map[string]any `json:"data"`
	}
	if json.Unmarshal(text, &s) != nil {
		return "", ""
	}
	for _, k := range slices.Sorted(maps.Keys(s.Data)) {
		v, ok := s.Data[k].(string)
		if !ok {
			if s.Data[k] == nil {
				continue
			}
			return child("data", k), "base64 in a string is wanted"
		}
		if _, err := base64.StdEncoding.DecodeString(v); err != nil {
			return child("data", k), "the value is not base64; plain text belongs into stringData"
		}
	}
	return "", ""
}
