package http1

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cardea-dev/cardea/dataplane/message"
	"github.com/cardea-dev/cardea/dataplane/outcome"
)

// The targets here take net/http as an oracle, one way: what this package
// accepts, net/http reads identically; what net/http refuses, this package
// refuses. The exceptions are these.
//
//   - One empty line before the request line is skipped, as RFC 9112 §2.2 asks;
//     http.ReadRequest refuses it.
//   - White space around ';' and '=' of a chunk extension is accepted, as RFC
//     9112 §7.1.1 demands ("BWS", which a recipient MUST parse); net/http takes
//     the space before ';' for a bad digit.
//   - net/http gives up on a chunked body that is mostly framing, by a measure of
//     its own; here the extensions are counted.
//   - net/http merges trailers; those that must not be are dropped here.
