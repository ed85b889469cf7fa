// Package verify has the messages that the traffic client and the sample application exchange, and the
// judges of what arrives: lost, doubled, reordered, corrupted.
package verify
