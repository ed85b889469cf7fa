//go:build race

package logical

// raceEnabled: the race detector is on.
const raceEnabled = true
