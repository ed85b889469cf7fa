package ordering

import "fmt"

// Path names a server connection within one process. The two ends of a server connection need not use
// the same number for it. The zero Path is none.
type Path uint64

// Epoch numbers the placements of a logical connection: client generation in the high 32 bits, moves
// within it in the low 32 bits.
type Epoch uint64

// FirstEpoch is generation 1, move 1.
const FirstEpoch Epoch = 1<<32 | 1

// NextMove returns the epoch of the next move within the same generation.
func (e Epoch) NextMove() Epoch { return e + 1 }

// FirstOf returns the first epoch of the generation.
func FirstOf(generation uint32) Epoch { return Epoch(generation)<<32 | 1 }

// Generation returns the client generation.
func (e Epoch) Generation() uint32 { return uint32(e >> 32) }

// Move returns the number of the move within the generation.
func (e Epoch) Move() uint32 { return uint32(e) }

// String returns "generation.move".
func (e Epoch) String() string { return fmt.Sprintf("%d.%d", e.Generation(), e.Move()) }

// MessageKind says what a numbered message is.
type MessageKind uint8

// The kinds of numbered messages.
const (
	// Binary is a message of bytes.
	Binary MessageKind = iota + 1
	// Text is a message of UTF-8 text.
	Text
	// HalfClose says that its sender sends nothing more but a Close.
	HalfClose
	// Close is the last message of its direction.
	Close
)

var messageKindNames = [...]string{Binary: "Binary", Text: "Text", HalfClose: "HalfClose", Close: "Close"}

// String returns the kind's name.
func (k MessageKind) String() string { return nameOf(messageKindNames[:], int(k), "MessageKind") }

// Message is one numbered message.
type Message struct {
	// Payload is the content, or the detail of a Close. It belongs to the message: nobody writes to it.
	Payload []byte
	// Reason is the owner's number for the reason of a Close.
	Reason int32
	Kind   MessageKind
}

// Bounds of what one end believes the other of a connection that it takes over, where it knows nothing itself: the largest number of a
// message, the largest window, and what can be outstanding in one, as a lone message may pass it; both in bytes.
const (
	MaxSeq         = 1 << 62
	MaxWindow      = 16 << 20
	MaxOutstanding = 2 * MaxWindow
)

// MessageOverhead is what a message counts against a window beside its payload, in bytes. It bounds the
// number of empty messages.
const MessageOverhead = 64

// Cost returns what the message counts against a window, in bytes. What ends a direction counts nothing,
// or a Close that waits in the buffer of a handoff would take the window of the messages before it.
func (m Message) Cost() int {
	if m.ends() {
		return 0
	}
	return len(m.Payload) + MessageOverhead
}

// ends reports whether the message is exempt from the window: there are at most two of them in a
// direction, and a full window must not keep a connection from ending.
func (m Message) ends() bool { return m.Kind == HalfClose || m.Kind == Close }

// FrameKind says what a frame is.
type FrameKind uint8

// The kinds of frames.
const (
	// Open places a new logical connection.
	Open FrameKind = iota + 1
	// Data carries a numbered message.
	Data
	// Receipt says what was consumed.
	Receipt
	// Migrate begins a move (step 3).
	Migrate
	// MigrateWithAck is the responder's barrier (step 6).
	MigrateWithAck
	// Ack is the initiator's barrier (step 7).
	Ack
	// Resume begins a resume (step R1). MigrateWithAck via the same path answers it (step R2).
	Resume
	// Adopt begins a resume for a client that has come anew. MigrateWithAck or Refuse via the same path answers it.
	Adopt
	// Refuse answers an Adopt that changes nothing, and tells a relay's end that another one has taken the connection.
	Refuse
	// Hello is a client's first word on a link by which it resumes.
	Hello
	// Welcome answers a Hello.
	Welcome
)

var frameKindNames = [...]string{
	Open: "Open", Data: "Data", Receipt: "Receipt", Migrate: "Migrate", MigrateWithAck: "MigrateWithAck", Ack: "Ack", Resume: "Resume",
	Adopt: "Adopt", Refuse: "Refuse", Hello: "Hello", Welcome: "Welcome",
}

// String returns the kind's name.
func (k FrameKind) String() string { return nameOf(frameKindNames[:], int(k), "FrameKind") }

// Frame is one step of a logical connection on a path.
type Frame struct {
	// Message is the message of a Data frame.
	Message Message
	Epoch   Epoch
	// Seq is the number of the message of a Data frame.
	Seq uint64
	// Consumed is what a receipt says: all messages through it were consumed. On a Data frame, an Adopt, its answer, a Hello
	// and a Welcome it is a receipt that rides along, when not 0.
	Consumed uint64
	// Received is what a Resume, an Adopt, a Hello and their answers say: all messages through it were received, and what
	// follows is to be replayed.
	Received uint64
	// Generation is that of the token with which an Adopt was asked for, and in a Refuse the newest that its sender knows.
	Generation uint32
	// Window is, in the answer to an Adopt, the connection's, and Outstanding what counts against it of the messages through
	// Received; both in bytes.
	Window, Outstanding uint32
	Kind                FrameKind
	// Ended is, in the answer to an Adopt, the kind of the message that ended the direction of Received, or 0.
	Ended MessageKind
	// Refusal is why a Refuse was sent.
	Refusal Refusal
	// Welcomed is set on every Receipt of a relay whose client has taken its Welcome.
	Welcomed bool
}

// Refusal says why a relay's end is not to have the connection.
type Refusal uint8

// The refusals.
const (
	// Outrun: the generation is not above the newest one; the next above that is to be had.
	Outrun Refusal = iota + 1
	// Replayed: a client with a newer token has taken the connection up.
	Replayed
	// Impossible: the client says that it received what was never sent, or less than it has acknowledged.
	Impossible
	// TakenOver: another end has adopted the connection.
	TakenOver
)

var refusalNames = [...]string{Outrun: "Outrun", Replayed: "Replayed", Impossible: "Impossible", TakenOver: "TakenOver"}

// String returns the refusal's name.
func (r Refusal) String() string { return nameOf(refusalNames[:], int(r), "Refusal") }

func nameOf(names []string, i int, typ string) string {
	if i > 0 && i < len(names) {
		return names[i]
	}
	return fmt.Sprintf("%s(%d)", typ, i)
}
