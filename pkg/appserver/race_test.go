//go:build race

package appserver

// raceEnabled: the race detector is on.
const raceEnabled = true
