//go:build !race

package ordering

// raceEnabled says whether the race detector slows everything down.
const raceEnabled = false
