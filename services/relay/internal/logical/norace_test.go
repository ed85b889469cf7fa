//go:build !race

package logical

const raceEnabled = false
