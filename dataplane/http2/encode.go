package http2

import (
	"strconv"

	"github.com/cardea-dev/cardea/dataplane/message"
)

// An encoder makes header blocks (RFC 7541). It adds nothing to the dynamic table:
// to copy a field costs less CPU than to look it up.
type encoder struct {
	block []byte
	// tell has the next block say that the table is empty.
	tell bool
}

// Indices into the static table (RFC 7541 appendix A).
const (
	staticAuthority  = 1
	staticMethodGet  = 2
	staticMethodPost = 3
	staticPath       = 4
	staticSchemeHTTP = 6
	staticScheme     = 7 // https
	staticStatus     = 8 // 200
)

// staticStatuses are the statuses that have an entry of their own.
var staticStatuses = [...]struct{ status, index int }{
	{200, 8}, {204, 9}, {206, 10}, {304, 11}, {400, 12}, {404, 13}, {500, 14},
}

// staticNames holds the index of a name in the static table, 0 if it is not there.
var staticNames = [256]uint8{
	message.Accept: 19, message.AcceptEncoding: 16, message.Age: 21, message.Authorization: 23,
	message.CacheControl: 24, message.ContentEncoding: 26, message.ContentLength: 28,
	message.ContentType: 31, message.Cookie: 32, message.Date: 33, message.ETag: 34, message.Expect: 35,
	message.Expires: 36, message.Host: 38, message.IfModifiedSince: 40, message.IfNoneMatch: 41,
	message.IfRange: 42, message.LastModified: 44, message.Location: 46, message.MaxForwards: 47,
	message.ProxyAuthenticate: 48, message.ProxyAuthorization: 49, message.Range: 50, message.Referer: 51,
	message.RetryAfter: 53, message.Server: 54, message.SetCookie: 55, message.TransferEncoding: 57,
	message.UserAgent: 58, message.Vary: 59, message.Via: 60,
}

// limitTable is told how large a table the peer keeps for us. RFC 7541 §4.2: a
// change "MUST be signaled", "at the beginning of the first header block following
// the change"; a peer that makes its table smaller may insist on it.
func (e *encoder) limitTable(n uint32) { e.tell = e.tell || n < tableSize }

// start begins a block.
func (e *encoder) start() {
	e.block = e.block[:0]
	if e.tell {
		e.tell = false
		e.integer(0x20, 5, 0)
	}
}

// indexed appends a field that has an entry.
func (e *encoder) indexed(index int) { e.integer(0x80, 7, uint64(index)) }

// literal appends a field with the name of an entry, and does not add it to the
// table.
func (e *encoder) literal(index int, value []byte) {
	e.integer(0, 4, uint64(index))
	e.bytes(value)
}

// status appends the pseudo-header field of a response.
func (e *encoder) status(status int) {
	for _, s := range staticStatuses {
		if s.status == status {
			e.indexed(s.index)
			return
		}
	}
	var a [20]byte
	e.literal(staticStatus, strconv.AppendInt(a[:0], int64(status), 10))
}

// field appends a field. Its name is sent in lower case: "Field names MUST be
// converted to lowercase when constructing an HTTP/2 message" (RFC 9113 §8.2).
func (e *encoder) field(id message.ID, name, value []byte) {
	if index := staticNames[id]; index > 0 {
		e.literal(int(index), value)
		return
	}
	e.block = append(e.block, 0)
	e.integer(0, 7, uint64(len(name)))
	for _, c := range name {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		e.block = append(e.block, c)
	}
	e.bytes(value)
}

// number appends a field whose value is a decimal number.
func (e *encoder) number(id message.ID, n int64) {
	var a [20]byte
	e.field(id, id.Bytes(), strconv.AppendInt(a[:0], n, 10))
}

// fields appends the fields but for those whose ID is in skip.
func (e *encoder) fields(f *message.Fields, skip *[256]bool) {
	for i := range f.Len() {
		if l := f.At(i); !skip[l.ID] {
			e.field(l.ID, l.Name, l.Value)
		}
	}
}

func (e *encoder) bytes(p []byte) {
	e.integer(0, 7, uint64(len(p)))
	e.block = append(e.block, p...)
}

// integer appends v with a prefix of n bits in a byte that starts with first (RFC
// 7541 §5.1).
func (e *encoder) integer(first byte, n int, v uint64) {
	limit := uint64(1)<<n - 1
	if v < limit {
		e.block = append(e.block, first|byte(v))
		return
	}
	e.block = append(e.block, first|byte(limit))
	for v -= limit; v >= 0x80; v >>= 7 {
		e.block = append(e.block, byte(v)|0x80)
	}
	e.block = append(e.block, byte(v))
}

func skip(ids ...message.ID) *[256]bool {
	var t [256]bool
	for _, id := range ids {
		t[id] = true
	}
	return &t
}

// connectionFields never stand in a message of this protocol (RFC 9113 §8.2.2).
// Content-Length is written anew, from what is known.
var connectionFields = skip(message.Connection, message.ContentLength, message.TransferEncoding,
	message.KeepAlive, message.ProxyConnection, message.Upgrade, message.HTTP2Settings)

// trailerFields never stand in a trailer section.
var trailerFields = skip(message.Connection, message.ContentLength, message.TransferEncoding,
	message.KeepAlive, message.ProxyConnection, message.Upgrade, message.HTTP2Settings,
	message.Host, message.Trailer, message.TE)
