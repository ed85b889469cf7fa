//go:build race

package client

// raceEnabled: the race detector is on.
const raceEnabled = true
