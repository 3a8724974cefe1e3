package cli_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/cardea-dev/cardea/test/harness"
)

// TestRow12Flags: a connection more than --max-handshakes or --max-connections
// allow is reset, and counted as shed.
func TestRow12Flags(t *testing.T) {
	for _, flag := range []string{"--max-handshakes", "--max-connections"} {
		t.Run(flag, func(t *testing.T) {
			dir := t.TempDir()
			harness.Write(t, dir, "shop.yaml", shop)
			p := harness.Serve(t, dir, flag, "1")
			silent, err := net.Dial("tcp", p.HTTPS)
			if err != nil {
				t.Fatal(err)
			}
			defer silent.Close()
			// Its place is taken a moment after the kernel has accepted it.
			p.Until("the first connection is open", func() error {
				return metricLine(p, `cardea_connections_open{listener="https"} 1`)
			})
			// The reset may reach a client while it still connects.
			if second, err := net.Dial("tcp", p.HTTPS); err == nil {
				if got, _ := io.ReadAll(second); len(got) > 0 {
					t.Errorf("the second client got %q, want nothing", got)
				}
				second.Close()
			}
			p.Until("it is counted", func() error {
				return metricLine(p, `cardea_connections_total{listener="https",reason="shed"} 1`)
			})
			p.Until("its handshake is, too", func() error {
				return metricLine(p, `cardea_tls_handshakes_total{host="_none",listener="https",reason="shed",result="failed"} 1`)
			})
		})
	}
}

// metricLine returns an error until /metrics has the line.
func metricLine(p *harness.Program, line string) error {
	page, err := p.Get(p.Admin, "/metrics")
	if err == nil && !strings.Contains("\n"+page, "\n"+line+"\n") {
		err = fmt.Errorf("no line %q", line)
	}
	return err
}
