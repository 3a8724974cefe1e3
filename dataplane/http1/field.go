package http1

import "github.com/cardea-dev/cardea/dataplane/message"

// facts are what the fields of a head say of framing and of the connection,
// gathered while they are parsed. The counts are of lines: a field that may come
// once and comes twice is ambiguous even if both are equal.
type facts struct {
	hosts, lengths, codings, upgrades, expects int
	host, length, coding, upgrade, expect      []byte

	close, keepAlive, upgradeOption bool
}

// field parses one field line, appends it to f and returns what is wrong with it,
// "" if nothing.
func (h *facts) field(f *message.Fields, line []byte) (problem string) {
	name, value, problem := cutField(line)
	if problem != "" {
		return problem
	}
	id := message.Lookup(name)
	f.Append(id, name, value)
	switch id {
	case message.Host:
		h.hosts++
		h.host = value
	case message.ContentLength:
		h.lengths++
		h.length = value
	case message.TransferEncoding:
		h.codings++
		h.coding = value
	case message.Upgrade:
		h.upgrades++
		h.upgrade = value
	case message.Expect:
		h.expects++
		h.expect = value
	case message.Connection:
		return h.connection(value)
	case message.Trailer:
		return message.AnnouncedTrailers(value)
	}
	return ""
}

// cutField takes a field line apart (RFC 9112 §5). A line that starts with white
// space has no name: that refuses obs-fold too.
func cutField(line []byte) (name, value []byte, problem string) {
	n := 0
	for n < len(line) && message.TokenByte(line[n]) {
		n++
	}
	switch {
	case n == len(line):
		return nil, nil, "field line without a colon"
	case n == 0 && (line[0] == ' ' || line[0] == '\t'):
		return nil, nil, "field line that starts with white space"
	case n == 0 && line[0] == ':':
		return nil, nil, "field line without a name"
	case line[n] == ' ' || line[n] == '\t':
		return nil, nil, "white space in or after a field name"
	case line[n] != ':':
		return nil, nil, "invalid character in a field name"
	}
	value = message.Trim(line[n+1:])
	if !message.ValidText(value) {
		return nil, nil, "control character in a field value"
	}
	return line[:n], value, ""
}

// connection parses the options of one Connection line.
func (h *facts) connection(list []byte) (problem string) {
	for option, rest := message.NextElement(list); option != nil; option, rest = message.NextElement(rest) {
		if !message.IsToken(option) {
			return "Connection option that is not a token"
		}
		switch {
		case message.EqualFold(option, "close"):
			h.close = true
		case message.EqualFold(option, "keep-alive"):
			h.keepAlive = true
		case message.EqualFold(option, "upgrade"):
			h.upgradeOption = true
		case !message.MayNameInConnection(message.Lookup(option)):
			return "Connection names a field that is not of the connection"
		}
	}
	return ""
}

// chunked decides on Transfer-Encoding. ok means chunked and nothing else; if not,
// known says whether the list is at least one that RFC 9112 §6.1 allows, with a
// coding that is not served.
func (h *facts) chunked() (ok, known bool) {
	if h.codings != 1 {
		return false, false
	}
	if message.EqualFold(h.coding, "chunked") {
		return true, true
	}
	codings, chunks, last := 0, 0, false
	for c, rest := message.NextElement(h.coding); c != nil; c, rest = message.NextElement(rest) {
		if !message.IsToken(c) {
			return false, false
		}
		codings++
		if last = message.EqualFold(c, "chunked"); last {
			chunks++
		}
	}
	return false, last && chunks == 1 && codings > 1
}
