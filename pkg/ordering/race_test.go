//go:build race

package ordering

// raceEnabled has the long tests stay short: the race detector makes them many times slower, and there is nothing in
// them that could race.
const raceEnabled = true
