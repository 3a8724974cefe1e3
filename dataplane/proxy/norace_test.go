//go:build !race

package proxy_test

// raceEnabled says whether the race detector is built in.
const raceEnabled = false
