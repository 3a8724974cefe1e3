package http1

// exchangeStack is how much stack an exchange with a client over TLS takes, about: it
// needs one of 8 KiB, which is what this ends in.
const exchangeStack = 4 << 10

// growStack gives the goroutine the stack of an exchange over TLS, unless it has it.
// The runtime doubles a stack when it is full and copies what is on it, frame by
// frame: without this at the bottom of the first answer, where it costs some 10 µs,
// and again whenever the connection was idle for so long that the stack was halved.
//
// It is the size of the frame that does it: the prologue of a function makes room
// for all of it. With a negative i the frame is not even cleared.
//
//go:noinline
func growStack(i int) (b byte) {
	if i >= 0 {
		var frame [exchangeStack]byte
		b = frame[i]
	}
	return b
}
