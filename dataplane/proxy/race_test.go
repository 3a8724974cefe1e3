//go:build race

package proxy

// RaceEnabled says whether the race detector is built in.
const RaceEnabled = true
