package listen

// handshakeStack is how much stack a handshake takes, about: with every key exchange
// and certificate it needs one of 16 KiB, which is what this ends in.
const handshakeStack = 8 << 10

// growStack gives the goroutine the stack of a handshake. The runtime doubles a
// stack when it is full and copies what is on it, frame by frame; a handshake fills
// two sizes, deep within crypto/tls, where that costs 5 % of it. Here there is next
// to nothing to copy.
//
// It is the size of the frame that does it: the prologue of a function makes room
// for all of it. With a negative i the frame is not even cleared.
//
//go:noinline
func growStack(i int) (b byte) {
	if i >= 0 {
		var frame [handshakeStack]byte
		b = frame[i]
	}
	return b
}
