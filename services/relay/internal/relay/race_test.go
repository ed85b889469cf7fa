//go:build race

package relay

// raceEnabled: the race detector is on, which makes everything ten times as slow.
const raceEnabled = true
