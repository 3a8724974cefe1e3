package manifest

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"testing"
	"time"
)

// hostFile returns an Ingress with its Secret, as large as a real one.
func hostFile(i int) string {
	random := func(n int) string {
		b := make([]byte, n)
		_, _ = rand.Read(b)
		return base64.StdEncoding.EncodeToString(b)
	}
	return fmt.Sprintf(`apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: h%[1]d, namespace: shop}
spec:
  ingressClassName: cardea
  tls:
  - hosts: [h%[1]d.example.com]
    secretName: h%[1]d
  rules:
  - host: h%[1]d.example.com
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: web, port: {name: http}}}}
---
apiVersion: v1
kind: Secret
metadata: {name: h%[1]d, namespace: shop}
type: kubernetes.io/tls
data:
  tls.crt: %[2]s
  tls.key: %[3]s
`, i, random(1500), random(240))
}

// BenchmarkRead reads 1,000 hosts for the first time.
func BenchmarkRead(b *testing.B) {
	dir := b.TempDir()
	for i := range 1000 {
		write(b, dir, fmt.Sprintf("h%d.yaml", i), hostFile(i))
	}
	b.ReportAllocs()
	for b.Loop() {
		set, err := NewFolder(dir).Read()
		if err != nil || len(set.Objects) != 2000 {
			b.Fatalf("Read = %d objects, %v, want 2000", len(set.Objects), err)
		}
	}
}

// BenchmarkScan looks through 1,000 files of which none has changed, as the watcher
// does every few seconds.
func BenchmarkScan(b *testing.B) {
	dir := b.TempDir()
	for i := range 1000 {
		write(b, dir, fmt.Sprintf("h%d.yaml", i), hostFile(i))
	}
	f := NewFolder(dir)
	if _, err := f.Read(); err != nil {
		b.Fatal(err)
	}
	now := time.Now().Add(time.Hour) // when modification times prove something
	if err := f.scan(now, false); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := f.scan(now, false); err != nil || len(f.pending) > 0 {
			b.Fatalf("scan = %v, %d files pending, want none", err, len(f.pending))
		}
	}
}
