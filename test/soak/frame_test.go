//go:build soak && linux

package soak

import (
	"encoding/binary"
	"fmt"
	"io"
)

// frame returns a whole binary message as one frame of RFC 6455 §5.2; clients mask
// it by a key. Its payload has 126 bytes or more, 64 KiB at most.
func frame(payload, mask []byte) []byte {
	b := []byte{0x82, 126}
	b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
	if mask != nil {
		b[1] |= 0x80
		b = append(b, mask...)
	}
	start := len(b)
	b = append(b, payload...)
	for i := range payload {
		if mask != nil {
			b[start+i] ^= mask[i%4]
		}
	}
	return b
}

// readFrame reads what frame makes and returns the payload, unmasked.
func readFrame(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	if head[0] != 0x82 || head[1]&0x7f != 126 {
		return nil, fmt.Errorf("frame head % x, want 82 7e or 82 fe", head[:2])
	}
	var mask [4]byte
	if head[1]&0x80 != 0 {
		if _, err := io.ReadFull(r, mask[:]); err != nil {
			return nil, err
		}
	}
	payload := make([]byte, binary.BigEndian.Uint16(head[2:]))
	if _, err := io.ReadFull(r, payload); err != nil {
		return nil, err
	}
	for i := range payload {
		payload[i] ^= mask[i%4]
	}
	return payload, nil
}

// grpcMessage puts gRPC's head in front of a payload: not compressed, its length.
func grpcMessage(payload []byte) []byte {
	b := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(payload)))
	return append(b, payload...)
}

// readMessage reads one message, its head included.
func readMessage(r io.Reader) ([]byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if head[0] != 0 || n > 1<<20 {
		return nil, fmt.Errorf("gRPC message head % x", head)
	}
	b := append(head[:], make([]byte, n)...)
	_, err := io.ReadFull(r, b[5:])
	return b, err
}
