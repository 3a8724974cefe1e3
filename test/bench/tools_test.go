//go:build linux

package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const wrkOutput = `Running 3s test @ https://localhost:40443/1k
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.23ms  412.00us  12.00ms   90.00%
    Req/Sec    50.00k     1.20k   52.00k    80.00%
  Latency Distribution
     50%    1.13ms
     75%    1.40ms
     90%    1.90ms
     99%    2.72ms
  150123 requests in 3.00s, 180.00MB read
  Socket errors: connect 1, read 2, write 3, timeout 4
  Non-2xx or 3xx responses: 5
Requests/sec:  50041.00
Transfer/sec:     60.00MB
`

func TestParseWrk(t *testing.T) {
	got, err := parseWrk([]byte(wrkOutput))
	want := Loaded{
		Done: 150123, Errors: 10, Bad: 5, P50: 1130 * time.Microsecond, P99: 2720 * time.Microsecond,
		First: "Socket errors: connect 1, read 2, write 3, timeout 4",
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("parseWrk: %v, -want +got:\n%s", err, diff)
	}
	if _, err := parseWrk([]byte("unable to connect")); err == nil {
		t.Error("parseWrk(no result) = nil, want an error")
	}
}

const h2loadOutput = `starting benchmark...
TLS Protocol: TLSv1.3
Cipher: TLS_AES_128_GCM_SHA256
Application protocol: h2

finished in 3.00s, 45038.00 req/s, 46.00MB/s
requests: 135114 total, 135370 started, 135114 done, 135110 succeeded, 1 failed, 2 errored, 1 timeout
status codes: 135100 2xx, 0 3xx, 4 4xx, 6 5xx
`

func TestParseH2load(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(log, []byte("1700\t200\t100\n1701\t200\t300\n1702\t200\t200\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := parseH2load([]byte(h2loadOutput), log)
	want := Loaded{Done: 135110, Errors: 4, Bad: 10, P50: 200 * time.Microsecond, P99: 300 * time.Microsecond}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("parseH2load: %v, -want +got:\n%s", err, diff)
	}
}

func TestCountCPUs(t *testing.T) {
	for list, want := range map[string]int{"1": 1, "1,3": 2, "2-5": 4, "0,2-3": 3, "x": 1} {
		if got := countCPUs(list); got != want {
			t.Errorf("countCPUs(%q) = %d, want %d", list, got, want)
		}
	}
}

func TestCompare(t *testing.T) {
	sc := &Scenario{Name: "x", tool: wrk}
	res := newResult(sc, subjects[:])
	for i, name := range []string{"cardea", "nginx", "haproxy"} {
		for _, cpu := range [][]float64{{10, 30, 20}, {20, 20, 20}, {40, 40, 10}}[i] {
			res.of(name).Samples = append(res.of(name).Samples, Sample{CPU: cpu, P99: 1})
		}
	}
	res.compare()
	if res.Peer != "nginx" || res.Ratio != 1 {
		t.Errorf("compare = %v of %s, want 1 of nginx", res.Ratio, res.Peer)
	}
}
