package listen_test

import (
	"crypto/tls"
	"fmt"
	"net"

	"github.com/cardea-dev/cardea/dataplane/listen"
	"github.com/cardea-dev/cardea/dataplane/outcome"
	"github.com/cardea-dev/cardea/dataplane/snapshot"
)

// A listener tells of every handshake, also of the one of a client that asks for
// a host that nobody declares.
func Example() {
	table, err := snapshot.Compile(nil, &snapshot.Spec{}, nil)
	if err != nil {
		panic(err)
	}
	told := make(chan string, 1)
	l, err := listen.Listen(listen.Config{
		Name:    "https",
		Addr:    "127.0.0.1:0",
		TLS:     true,
		Current: func() *snapshot.Snapshot { return table },
		Handler: func(c net.Conn, info *outcome.Conn) {},
		Sink: outcome.Sink{Handshake: func(h *outcome.Handshake) {
			told <- fmt.Sprintf("%s: %s, %s", h.SNI, h.Result, h.Reason)
		}},
	})
	if err != nil {
		panic(err)
	}
	defer l.Close()
	go func() {
		if err := l.Serve(); err != nil {
			panic(err)
		}
	}()

	_, err = tls.Dial("tcp", l.Addr().String(), &tls.Config{ServerName: "shop.example.com"})
	fmt.Println("client:", err)
	fmt.Println(<-told)
	// Output:
	// client: remote error: tls: unrecognized name
	// shop.example.com: failed, unknown_sni
}
