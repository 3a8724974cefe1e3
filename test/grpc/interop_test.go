package grpc_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop"
	testpb "google.golang.org/grpc/interop/grpc_testing"
)

// The cases of gRPC's interoperability test that need no cloud credentials:
// https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md.
var cases = []struct {
	name string
	run  func(context.Context, *grpc.ClientConn)
}{
	{"empty_unary", onService(interop.DoEmptyUnaryCall)},
	{"large_unary", onService(interop.DoLargeUnaryCall)},
	{"client_streaming", onService(interop.DoClientStreaming)},
	{"server_streaming", onService(interop.DoServerStreaming)},
	{"ping_pong", onService(interop.DoPingPong)},
	{"empty_stream", onService(interop.DoEmptyStream)},
	{"timeout_on_sleeping_server", onService(interop.DoTimeoutOnSleepingServer)},
	{"cancel_after_begin", onService(interop.DoCancelAfterBegin)},
	{"cancel_after_first_response", onService(interop.DoCancelAfterFirstResponse)},
	{"status_code_and_message", onService(interop.DoStatusCodeAndMessage)},
	{"special_status_message", onService(interop.DoSpecialStatusMessage)},
	{"custom_metadata", onService(interop.DoCustomMetadata)},
	{"unimplemented_method", func(ctx context.Context, cc *grpc.ClientConn) { interop.DoUnimplementedMethod(ctx, cc) }},
	{"unimplemented_service", func(ctx context.Context, cc *grpc.ClientConn) {
		interop.DoUnimplementedService(ctx, testpb.NewUnimplementedServiceClient(cc))
	}},
}

func onService(do func(context.Context, testpb.TestServiceClient, ...grpc.CallOption)) func(context.Context, *grpc.ClientConn) {
	return func(ctx context.Context, cc *grpc.ClientConn) { do(ctx, testpb.NewTestServiceClient(cc)) }
}

// TestInterop runs every case through the data plane, by TLS and in plain text, to
// a backend that speaks h2c.
//
// A case that fails ends its process. So each runs in one of its own: this test's
// binary, told by the environment what to do.
func TestInterop(t *testing.T) {
	w := newWorld(t, 1)
	runCases(t, "tls", w.Addr("https").String(), w.ca)
	runCases(t, "plain", w.Addr("http").String(), nil)
	if got := w.failures(); len(got) > 0 {
		t.Logf("requests that did not end well, as some cases want: %v", got)
	}
}

// TestInteropOverTLS is TestInterop to a backend that speaks HTTP/2 over TLS.
func TestInteropOverTLS(t *testing.T) {
	w := newWorldOver(t, 1, newUpstreamTLS(t))
	runCases(t, "tls", w.Addr("https").String(), w.ca)
	runCases(t, "plain", w.Addr("http").String(), nil)
}

// runCases runs every case against addr, in plain text without ca.
func runCases(t *testing.T, by, addr string, ca []byte) {
	t.Helper()
	for _, c := range cases {
		t.Run(by+"/"+c.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), "CARDEA_CASE="+c.name, "CARDEA_ADDR="+addr, "CARDEA_CA="+string(ca))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", c.name, err, out)
			}
		})
	}
}

func TestMain(m *testing.M) {
	if name := os.Getenv("CARDEA_CASE"); name != "" {
		if err := runCase(name); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// runCase is the child's part.
func runCase(name string) error {
	cc, err := connect(os.Getenv("CARDEA_ADDR"), []byte(os.Getenv("CARDEA_CA")))
	if err != nil {
		return err
	}
	defer cc.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for _, c := range cases {
		if c.name == name {
			c.run(ctx, cc)
			return ctx.Err()
		}
	}
	return fmt.Errorf("no case %q", name)
}

// connect returns a client of the host under test; without ca it is plain text.
func connect(addr string, ca []byte) (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	if len(ca) > 0 {
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(ca) {
			return nil, fmt.Errorf("no certificate in %q", ca)
		}
		creds = credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: hostName})
	}
	return grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(creds), grpc.WithAuthority(hostName))
}
