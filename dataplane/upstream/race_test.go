//go:build race

package upstream

// raceEnabled says that the race detector, which allocates, is at work.
const raceEnabled = true
