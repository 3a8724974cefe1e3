package grpc_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/interop"
	testpb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// TestRollingRestart replaces a backend time and again while calls go on: a new
// one comes, the old one leaves as grpc-go leaves, by GOAWAY. Not one call fails.
func TestRollingRestart(t *testing.T) {
	w := newWorld(t, 0)
	serving := newBackend(t, "127.0.0.1:0")
	w.publish(t, []snapshot.Endpoint{{Addr: serving.addr}})

	cc, err := connect(w.Addr("https").String(), w.ca)
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	client := testpb.NewTestServiceClient(cc)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var calls atomic.Int64
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for ctx.Err() == nil {
				// The call's own time is no part of the test's end.
				if err := call(client); err != nil {
					t.Errorf("call: %v", err)
					return
				}
				calls.Add(1)
			}
		})
	}
	for range 5 {
		tick := time.NewTicker(time.Millisecond)
		for want := calls.Load() + 200; calls.Load() < want && !t.Failed(); {
			<-tick.C
		}
		tick.Stop()
		next := newBackend(t, "127.0.0.1:0")
		w.publish(t, []snapshot.Endpoint{{Addr: next.addr}})
		serving.GracefulStop()
		serving = next
	}
	cancel()
	wg.Wait()
	if got := w.failures(); len(got) > 0 {
		t.Errorf("requests that did not end well: %v, want none", got)
	}
	t.Logf("%d calls", calls.Load())
}

func call(client testpb.TestServiceClient) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, err := client.UnaryCall(ctx, &testpb.SimpleRequest{
		ResponseSize: 1000,
		Payload:      interop.ClientNewPayload(testpb.PayloadType_COMPRESSABLE, 100),
	}, grpc.WaitForReady(false))
	return err
}

// TestStreamsSideBySide runs 200 bidirectional streams at a time over one client
// connection, each in steps that wait for the other side.
func TestStreamsSideBySide(t *testing.T) {
	w := newWorld(t, 2)
	cc, err := connect(w.Addr("https").String(), w.ca)
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	client := testpb.NewTestServiceClient(cc)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			if err := pingPong(ctx, client); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := w.failures(); len(got) > 0 {
		t.Errorf("requests that did not end well: %v, want none", got)
	}
}

func pingPong(ctx context.Context, client testpb.TestServiceClient) error {
	stream, err := client.FullDuplexCall(ctx)
	if err != nil {
		return err
	}
	for _, size := range []int32{1, 10_000, 100_000, 7} {
		if err := stream.Send(&testpb.StreamingOutputCallRequest{
			ResponseParameters: []*testpb.ResponseParameters{{Size: size}},
			Payload:            interop.ClientNewPayload(testpb.PayloadType_COMPRESSABLE, int(size)),
		}); err != nil {
			return err
		}
		if _, err := stream.Recv(); err != nil {
			return err
		}
	}
	return stream.CloseSend()
}
