// Package wire joins package ordering to the wire contract holdfast.v1: it translates frames, gathers them
// into batches and writes batches to the stream of a server connection. The relay and the app server
// library use the same code for their sides of a server connection.
package wire
