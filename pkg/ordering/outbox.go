package ordering

// Outbox is the sending half of one direction: it numbers messages from 1 and keeps each until it is
// acknowledged. While it is paused it gives out nothing: the paused outgoing traffic of a handoff.
type Outbox struct {
	// retained holds the messages (max(acked, base), pushed].
	retained queue
	// acked is the last message that the peer consumed; acked <= sent <= pushed.
	acked uint64
	// sent is the last message that was given out, since the last rewind; top the last that ever was.
	sent, top uint64
	// pushed is the last message that was accepted.
	pushed uint64
	// base is the last message that was sent before this outbox took the direction over, 0 when it had it from the start:
	// whoever sent it retains it. baseBytes is the cost of (acked, base]. What each counts is not known here: they are
	// acknowledged together, so that who sent them has no more credit than there is here.
	base      uint64
	baseBytes int
	// bytes is the cost of all retained messages and baseBytes; it passes window by what a lone message costs, never else.
	bytes  int
	window int
	paused bool
	// Freed, when not nil, is given the payload of each message that a receipt frees: nothing here refers to it any more. It is
	// called by Receive, under the owner's lock.
	Freed func([]byte)
	// ended is the kind of the message that ended the direction, or 0.
	ended MessageKind
}

// Push accepts a message, numbers it and returns its number. It returns ErrWindowFull when the window has
// no room (one message always fits when nothing is outstanding) and ErrEnded when the direction ended.
func (o *Outbox) Push(m Message) (uint64, error) {
	if o.ended == Close || (o.ended == HalfClose && m.Kind != Close) {
		return 0, ErrEnded
	}
	if !m.ends() {
		if !o.HasRoom(m) {
			return 0, ErrWindowFull
		}
	} else {
		o.ended = m.Kind
	}
	o.retained.push(m)
	o.bytes += m.Cost()
	o.pushed++
	return o.pushed, nil
}

// PushNumbered accepts a message that its sender has numbered. It reports false for one that was pushed before; a number
// beyond the next is an error.
func (o *Outbox) PushNumbered(seq uint64, m Message) (fresh bool, err error) {
	if seq <= o.pushed {
		return false, nil
	}
	if seq > o.pushed+1 {
		return false, breach(RuleGap, "message %d came after message %d", seq, o.pushed)
	}
	_, err = o.Push(m)
	return err == nil, err
}

// takeOver begins where another process has sent all through base, of which the peer has consumed all through acked; what lies
// between counts outstanding bytes. Ended is the kind of the message that ended the direction, or 0.
func (o *Outbox) takeOver(acked, base uint64, outstanding int, ended MessageKind) {
	o.acked, o.base, o.sent, o.top, o.pushed, o.ended = acked, base, base, base, base, ended
	if acked < base {
		o.bytes, o.baseBytes = outstanding, outstanding
	}
}

// HasRoom reports whether the window has room for the message now.
func (o *Outbox) HasRoom(m Message) bool {
	return o.acked == o.pushed || o.bytes+m.Cost() <= o.window
}

// Acknowledge takes a receipt: all messages through consumed were consumed by the peer. It frees what it
// covers and nothing else. An old receipt changes nothing; one for what was never sent is an error.
func (o *Outbox) Acknowledge(consumed uint64) error {
	if consumed > o.sent {
		return breach(RuleReceipt, "receipt through %d, but only %d were sent", consumed, o.sent)
	}
	if o.acked < o.base {
		if consumed < o.base {
			return nil
		}
		o.acked = o.base
		o.bytes -= o.baseBytes
		o.baseBytes = 0
	}
	for o.acked < consumed {
		m := o.retained.pop()
		o.bytes -= m.Cost()
		o.acked++
		if o.Freed != nil {
			o.Freed(m.Payload)
		}
	}
	return nil
}

// Rewind has Next go on after the message received, as the peer has got no more. It frees nothing: what was received
// may still be lost with the peer's end, and only a receipt says that it was consumed.
func (o *Outbox) Rewind(received uint64) error {
	if err := o.canRewind(received); err != nil {
		return err
	}
	o.sent = received
	return nil
}

func (o *Outbox) canRewind(received uint64) error {
	if least := max(o.acked, o.base); received < least || received > o.top {
		return breach(RuleRewind, "a resume after message %d, but %d were acknowledged and %d sent", received, least, o.top)
	}
	return nil
}

// Pause stops Next from giving anything out.
func (o *Outbox) Pause() { o.paused = true }

// Resume undoes Pause.
func (o *Outbox) Resume() { o.paused = false }

// Ready reports whether Next has something to give out.
func (o *Outbox) Ready() bool { return !o.paused && o.sent < o.pushed }

// Next gives out the next message that was not sent yet.
func (o *Outbox) Next() (uint64, Message, bool) {
	if !o.Ready() {
		return 0, Message{}, false
	}
	m := o.retained.at(int(o.sent - max(o.acked, o.base)))
	o.sent++
	o.top = max(o.top, o.sent)
	return o.sent, m, true
}

// Pushed returns the number of the last message that Push accepted.
func (o *Outbox) Pushed() uint64 { return o.pushed }

// Acked returns the number of the last message that the peer consumed.
func (o *Outbox) Acked() uint64 { return o.acked }

// Bytes returns the cost of what is retained, in bytes.
func (o *Outbox) Bytes() int { return o.bytes }

// Retained returns the cost of what is retained here, in bytes: it is less than Bytes while somebody else retains a part.
func (o *Outbox) Retained() int { return o.bytes - o.baseBytes }

// Window returns the window, in bytes.
func (o *Outbox) Window() int { return o.window }

// Ended reports whether a Close was pushed.
func (o *Outbox) Ended() bool { return o.ended == Close }
