//go:build !race

package faults_test

// raceDetector says that the test was built with the race detector.
const raceDetector = false
