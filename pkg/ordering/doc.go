// Package ordering holds the rules that keep a logical connection in order, with nothing lost and
// nothing doubled, while it is moved from one server connection to another.
//
// It is pure: no goroutine, no clock, no I/O, the standard library only. An owner (the relay, the
// app server) keeps one end, an Initiator or a Responder, under a lock of its own, feeds it the
// frames that arrived with Receive, and pulls the frames to send with Next. A frame to send is
// produced at the moment at which a writer asks for it, so that a pause takes effect at the next
// frame and no queue stands behind the outbox.
//
// No type in this package is safe for concurrent use.
package ordering
