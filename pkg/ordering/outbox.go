package ordering

// Outbox is the sending half of one direction: it numbers messages from 1 and keeps each until it is
// acknowledged. While it is paused it gives out nothing: the paused outgoing traffic of a handoff.
type Outbox struct {
	// retained holds the messages (acked, pushed].
	retained queue
	// acked is the last message that the peer consumed; acked <= sent <= pushed.
	acked uint64
	// sent is the last message that was given out, since the last rewind.
	sent uint64
	// pushed is the last message that was accepted.
	pushed uint64
	// bytes is the cost of all retained messages; it passes window by what a lone message costs, never else.
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
	if received < o.acked || received > o.sent {
		return breach(RuleRewind, "a resume after message %d, but %d were acknowledged and %d sent", received, o.acked, o.sent)
	}
	o.sent = received
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
	m := o.retained.at(int(o.sent - o.acked))
	o.sent++
	return o.sent, m, true
}

// Pushed returns the number of the last message that Push accepted.
func (o *Outbox) Pushed() uint64 { return o.pushed }

// Acked returns the number of the last message that the peer consumed.
func (o *Outbox) Acked() uint64 { return o.acked }

// Bytes returns the cost of what is retained, in bytes.
func (o *Outbox) Bytes() int { return o.bytes }

// Ended reports whether a Close was pushed.
func (o *Outbox) Ended() bool { return o.ended == Close }
