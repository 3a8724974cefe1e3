package http2

// A queue is what waits to be sent, in buffers of a TLS record each.
type queue struct {
	list []*buffer
	n    int
	// taken counts how often the list was taken away to be sent.
	taken uint64
}

// A tail is where a frame header was put. It is good until the list is taken.
type tail struct {
	b     *buffer
	at    int
	taken uint64
}

// put appends p.
func (q *queue) put(p []byte) {
	q.n += len(p)
	for len(p) > 0 {
		b := q.last(len(p))
		n := copy(b.free(), p)
		b.w += n
		p = p[n:]
	}
}

// last returns a buffer with room, for n more bytes if they fit one.
func (q *queue) last(n int) *buffer {
	if k := len(q.list); k > 0 && q.list[k-1].w < len(q.list[k-1].b) {
		return q.list[k-1]
	}
	if len(q.list) > 0 {
		n = largeSize
	}
	b := takeBuffer(n)
	q.list = append(q.list, b)
	return b
}

// header appends a frame header and returns where it is.
func (q *queue) header(h frameHeader) tail {
	b := q.last(frameHeaderLen + h.length)
	if len(b.free()) < frameHeaderLen {
		var p [frameHeaderLen]byte
		h.put(p[:])
		q.put(p[:])
		return tail{}
	}
	h.put(b.free())
	b.w += frameHeaderLen
	q.n += frameHeaderLen
	return tail{b, b.w - frameHeaderLen, q.taken}
}

// frame appends a whole frame.
func (q *queue) frame(t frameType, flags uint8, stream uint32, payload []byte) tail {
	at := q.header(frameHeader{len(payload), t, flags, stream})
	q.put(payload)
	return at
}

// frame32 appends a frame whose payload is one number.
func (q *queue) frame32(t frameType, stream, v uint32) {
	q.frame(t, 0, stream, []byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}

// setEndStream sets END_STREAM on the frame at t, unless that was taken.
func (q *queue) setEndStream(t tail) bool {
	if t.b == nil || t.taken != q.taken {
		return false
	}
	t.b.b[t.at+4] |= flagEndStream
	return true
}

// take takes the list away, and spare in its place.
func (q *queue) take(spare []*buffer) []*buffer {
	list := q.list
	q.list, q.n = spare[:0], 0
	q.taken++
	return list
}

// drop gives the buffers back.
func (q *queue) drop() {
	for i, b := range q.list {
		giveBuffer(b)
		q.list[i] = nil
	}
	q.list, q.n = q.list[:0], 0
	q.taken++
}
