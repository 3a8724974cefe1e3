package controllers

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
)

func TestRunWithoutAPIServer(t *testing.T) {
	// A port that was just free refuses connections.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	c, err := New(Config{REST: &rest.Config{Host: "https://" + l.Addr().String()}, Publisher: &fakeCluster{}, Logger: logr.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()

	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(c.NotReady(), "connection refused") {
		select {
		case <-tick.C:
		case err := <-done:
			t.Fatalf("Run = %v, want it to go on", err)
		case <-deadline:
			t.Fatalf("NotReady = %q, want the reason", c.NotReady())
		}
	}
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Run does not return after its context ended")
	}
}

func TestNewWantsItsConfig(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no REST":      {Publisher: &fakeCluster{}},
		"no publisher": {REST: &rest.Config{}},
		"no leader":    {REST: &rest.Config{}, Publisher: &fakeCluster{}, Status: StatusConfig{PublishAddresses: []string{"192.0.2.1"}}},
		"no identity":  {REST: &rest.Config{}, Publisher: &fakeCluster{}, Leader: LeaderConfig{Namespace: "cardea"}},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("New with %s = nil error", name)
		}
	}
}
