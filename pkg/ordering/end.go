package ordering

// Verdict says what became of a frame that broke no rule.
type Verdict uint8

// The verdicts. All but Taken mean that the frame was dropped, for the owner to count.
const (
	// Taken: the frame had its effect.
	Taken Verdict = iota + 1
	// Duplicate: the message was received before.
	Duplicate
	// StaleEpoch: the frame's epoch is lower than the one in force.
	StaleEpoch
	// WrongPath: the frame came by a path that does not carry the connection in that epoch.
	WrongPath
)

var verdictNames = [...]string{Taken: "Taken", Duplicate: "Duplicate", StaleEpoch: "StaleEpoch", WrongPath: "WrongPath"}

// String returns the verdict's name.
func (v Verdict) String() string { return nameOf(verdictNames[:], int(v), "Verdict") }

// end is what both ends of a logical connection have in common.
type end struct {
	// Outbox holds what this end sends.
	Outbox Outbox
	// Inbox holds what this end receives.
	Inbox Inbox
	// epoch and path are the placement in force for what this end sends.
	epoch Epoch
	path  Path
	// welcomed: the client has taken its Welcome, so that it shows no older token any more. Said in every receipt.
	welcomed bool
	// control holds the handshake frames to send, in order; at most one for each path.
	control []controlFrame
}

type controlFrame struct {
	path  Path
	frame Frame
}

// Epoch returns the epoch of what this end sends.
func (e *end) Epoch() Epoch { return e.epoch }

// Path returns the path by which this end sends its messages.
func (e *end) Path() Path { return e.path }

// Next gives out the next frame to send via the path. Handshake frames go first. A frame that was given
// out must be sent: it is not given out again.
func (e *end) Next(path Path) (Frame, bool) {
	for i, c := range e.control {
		if c.path == path {
			e.control = append(e.control[:i], e.control[i+1:]...)
			return c.frame, true
		}
	}
	if path != e.path || e.Outbox.paused {
		return Frame{}, false
	}
	if e.Inbox.confirm {
		return e.receipt(), true
	}
	if seq, m, ok := e.Outbox.Next(); ok {
		f := Frame{Kind: Data, Epoch: e.epoch, Seq: seq, Message: m}
		if !m.ends() && e.Inbox.Owes() {
			f.Consumed = e.Inbox.receipt()
		}
		return f, true
	}
	if e.Inbox.Owes() {
		return e.receipt(), true
	}
	return Frame{}, false
}

func (e *end) receipt() Frame {
	return Frame{Kind: Receipt, Epoch: e.epoch, Consumed: e.Inbox.receipt(), Welcomed: e.welcomed}
}

// Ready reports whether there is something to send via the path that should not wait. A receipt alone may
// wait a little for a message to ride on; Inbox.Consume says when it may not.
func (e *end) Ready(path Path) bool {
	for _, c := range e.control {
		if c.path == path {
			return true
		}
	}
	return path == e.path && !e.Outbox.paused && (e.Outbox.Ready() || e.Inbox.confirm)
}

// Done reports whether the logical connection is over: the peer has consumed this end's Close, or has been
// told that its own was consumed. The owner lets go of the end at once then, and remembers for a while that it did: should
// that receipt be lost with its path, a peer that resumes or opens again is to be answered that the connection is not
// known, which tells it as much. A peer that has let go already answers nothing; so an app server lets go of a connection
// that is not resumed in time.
func (e *end) Done() bool {
	return (e.Outbox.Ended() && e.Outbox.acked == e.Outbox.pushed) ||
		(e.Inbox.closed != 0 && e.Inbox.reported == e.Inbox.closed)
}

func (e *end) sendControl(path Path, f Frame) {
	e.control = append(e.control, controlFrame{path, f})
}

// replay goes on sending after the message received, which is the last that the peer has got.
func (e *end) replay(received uint64) error {
	if err := e.Outbox.Rewind(received); err != nil {
		return err
	}
	e.Outbox.Resume()
	e.Inbox.repeat()
	e.Inbox.confirm = e.Inbox.confirm || e.welcomed // that may be lost as well
	return nil
}

// checkReceipt fails when the frame has a receipt for what was never sent.
func (e *end) checkReceipt(f Frame) error {
	if f.Consumed > e.Outbox.sent {
		return breach(RuleReceipt, "receipt through %d, but only %d were sent", f.Consumed, e.Outbox.sent)
	}
	return nil
}

// take takes the message and the receipt of a Data or Receipt frame of the placement in force.
func (e *end) take(f Frame, into func(uint64, Message) (bool, error)) (Verdict, error) {
	verdict := Taken
	if f.Kind == Data {
		fresh, err := into(f.Seq, f.Message)
		if err != nil {
			return 0, err
		}
		if !fresh {
			verdict = Duplicate
		}
	}
	return verdict, e.Outbox.Acknowledge(f.Consumed)
}

// drop drops the message of a Data frame. Its receipt is a fact all the same.
func (e *end) drop(f Frame, v Verdict) (Verdict, error) {
	if f.Kind == Receipt {
		v = Taken
	}
	return v, e.Outbox.Acknowledge(f.Consumed)
}
