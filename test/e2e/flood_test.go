//go:build e2e

package e2e

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// An errgroup runs functions and keeps the first error.
type errgroup struct {
	wg   sync.WaitGroup
	once sync.Once
	err  error
}

func (g *errgroup) Go(f func() error) {
	g.wg.Go(func() {
		if err := f(); err != nil {
			g.once.Do(func() { g.err = err })
		}
	})
}

func (g *errgroup) Wait() error { g.wg.Wait(); return g.err }

// clientHello returns the first flight of a TLS client that asks for name.
func clientHello(t *testing.T, name string) []byte {
	t.Helper()
	client, server := net.Pipe()
	defer server.Close()
	go func() {
		_ = tls.Client(client, &tls.Config{ServerName: name, CurvePreferences: []tls.CurveID{tls.X25519}}).Handshake()
	}()
	head := make([]byte, 5)
	if _, err := io.ReadFull(server, head); err != nil {
		t.Fatal(err)
	}
	record := make([]byte, int(head[3])<<8|int(head[4]))
	if _, err := io.ReadFull(server, record); err != nil {
		t.Fatal(err)
	}
	_ = client.Close()
	return append(head, record...)
}

// sendHello sends hello with the first label of its server name replaced by
// label, of the same length, and wants the alert unrecognized_name.
func sendHello(addr string, hello []byte, label string) error {
	c, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	// The client resets instead of waiting, so that 100,000 connections do not
	// use up the local ports.
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write(bytes.Replace(hello, []byte("XXXXXXXX"), []byte(label), 1)); err != nil {
		return err
	}
	var alert [7]byte
	if _, err := io.ReadFull(c, alert[:]); err != nil {
		return err
	}
	const unrecognizedName = 112 // RFC 6066, section 3
	if alert[0] != 21 || alert[6] != unrecognizedName {
		return fmt.Errorf("answer % x, want the alert unrecognized_name", alert)
	}
	if _, err := c.Read(alert[:]); err == nil || errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("after the alert: %v, want the connection closed", err)
	}
	return nil
}
