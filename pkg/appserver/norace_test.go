//go:build !race

package appserver

const raceEnabled = false
