package ordering

// Inbox is the receiving half of one direction: it takes messages in order, each once, and knows what of
// them was consumed. During a handoff it also holds the messages of the new epoch until all of the old
// one have arrived: the incoming buffer.
type Inbox struct {
	// ready holds the messages (taken, received].
	ready queue
	// buffer holds the messages after those of ready, which came via the target of a handoff too early.
	buffer []Message
	// received is the last message of ready; buffered the last of buffer, when there is one.
	received, buffered uint64
	// taken is the last message that Take gave out; consumed the last that the owner is done with, and
	// reported the last that a receipt covered; reported <= consumed <= taken <= received.
	taken, consumed, reported uint64
	// takenBytes is the cost of (consumed, taken], consumedBytes of (reported, consumed], and
	// outstanding of all after reported. outstanding never passes window but for a lone message.
	takenBytes, consumedBytes, outstanding int
	window                                 int
	// halfClosed and closed are the numbers of the HalfClose and the Close, or 0.
	halfClosed, closed uint64
	// given holds the costs of the messages (max(consumed, base), taken] when numbered: their consumer says by number what it has
	// consumed. Messages through base were received before this inbox took the direction over, and count nothing here.
	given    []uint32
	base     uint64
	numbered bool
	// confirm asks for a receipt even when there is nothing new to say.
	confirm bool
}

// takeOver begins where the consumer has received all through received from somebody else, and consumed all through consumed.
func (in *Inbox) takeOver(received, consumed uint64) {
	in.received, in.taken, in.base = received, received, received
	in.consumed, in.reported = consumed, consumed
}

// accept takes a message of the placement in force. It reports false for a duplicate.
func (in *Inbox) accept(seq uint64, m Message) (bool, error) {
	fresh, err := in.admit(seq, in.received, m)
	if !fresh || err != nil {
		return fresh, err
	}
	in.ready.push(m)
	in.received = seq
	return true, nil
}

// hold keeps a message of the placement to come in the buffer. It reports false for a duplicate.
//
// The first message held may have a gap before it, as messages of the old epoch are still on their way
// via the previous path; release finds a gap that did not close.
func (in *Inbox) hold(seq uint64, m Message) (bool, error) {
	last := in.buffered
	if len(in.buffer) == 0 {
		last = max(in.received, seq-1)
	}
	fresh, err := in.admit(seq, last, m)
	if !fresh || err != nil {
		return fresh, err
	}
	in.buffer = append(in.buffer, m)
	in.buffered = seq
	return true, nil
}

// release moves the buffer behind what was received. It fails when messages before it never came.
func (in *Inbox) release() error {
	if len(in.buffer) == 0 {
		return nil
	}
	if first := in.buffered - uint64(len(in.buffer)) + 1; first != in.received+1 {
		return breach(RuleGap, "the buffer starts at message %d, but only %d were received before it", first, in.received)
	}
	in.ready.push(in.buffer...)
	in.received, in.buffer = in.buffered, nil
	return nil
}

// discard drops the buffer, whose messages will be replayed.
func (in *Inbox) discard() {
	for _, m := range in.buffer {
		in.outstanding -= m.Cost()
	}
	in.buffer = nil
	if in.halfClosed > in.received {
		in.halfClosed = 0
	}
	if in.closed > in.received {
		in.closed = 0
	}
}

// repeat has what was consumed said at once: the last receipt may be lost, and what would have said what is owed now may be.
func (in *Inbox) repeat() { in.confirm = in.consumed > 0 }

// Closing returns the peer's Close once everything before it has arrived, until Take gives it out.
func (in *Inbox) Closing() (Message, bool) {
	if in.closed == 0 || in.closed != in.received || in.ready.len() == 0 {
		return Message{}, false
	}
	return in.ready.at(in.ready.len() - 1), true
}

// admit checks the message against the last one and the window, and counts it.
func (in *Inbox) admit(seq, last uint64, m Message) (bool, error) {
	switch {
	case seq <= last:
		return false, nil
	case seq > last+1:
		return false, breach(RuleGap, "message %d came after message %d", seq, last)
	case in.closed != 0 && seq > in.closed:
		return false, breach(RuleAfterClose, "message %d (%v) came after a %v", seq, m.Kind, Close)
	case in.halfClosed != 0 && seq > in.halfClosed && m.Kind != Close:
		return false, breach(RuleAfterClose, "message %d (%v) came after a %v", seq, m.Kind, HalfClose)
	case m.ends() && in.endsTooEarly(seq, m):
		return false, breach(RuleAfterClose, "message %d (%v) has messages after it in the buffer, through %d", seq, m.Kind, in.buffered)
	}
	switch {
	case m.Kind == Close:
		in.closed = seq
	case m.Kind == HalfClose:
		in.halfClosed = seq
	case in.outstanding > 0 && in.outstanding+m.Cost() > in.window:
		return false, breach(RuleWindow, "message %d of %d bytes passes the window: %d of %d bytes are outstanding",
			seq, m.Cost(), in.outstanding, in.window)
	}
	in.outstanding += m.Cost()
	return true, nil
}

// endsTooEarly reports whether the buffer holds what must not follow the message: anything after a Close, anything
// but a Close after a HalfClose.
func (in *Inbox) endsTooEarly(seq uint64, m Message) bool {
	if len(in.buffer) == 0 || seq >= in.buffered {
		return false
	}
	return m.Kind == Close || in.closed != seq+1
}

// Take gives out the next message in order.
func (in *Inbox) Take() (Message, bool) {
	if in.ready.len() == 0 {
		return Message{}, false
	}
	m := in.ready.pop()
	in.taken++
	in.takenBytes += m.Cost()
	if in.numbered {
		in.given = append(in.given, uint32(m.Cost()))
	}
	return m, true
}

// Consume says that the owner is done with all messages that Take gave out. It reports whether a receipt
// is due at once, as half the window was consumed since the last one; else one is due shortly.
func (in *Inbox) Consume() bool {
	in.consumed = in.taken
	in.consumedBytes += in.takenBytes
	in.takenBytes, in.given = 0, in.given[:0]
	return in.due()
}

// ConsumeThrough says that the owner is done with all messages through the number, and reports what Consume does. A number that is
// old changes nothing; one that Take has not given out is an error.
func (in *Inbox) ConsumeThrough(seq uint64) (due bool, err error) {
	if seq > in.taken {
		return false, breach(RuleReceipt, "receipt through %d, but only %d were given out", seq, in.taken)
	}
	if seq <= in.consumed {
		return in.due(), nil
	}
	if counted := max(in.consumed, in.base); seq > counted {
		n := int(seq - counted)
		for _, cost := range in.given[:n] {
			in.takenBytes -= int(cost)
			in.consumedBytes += int(cost)
		}
		in.given = append(in.given[:0], in.given[n:]...)
	}
	in.consumed = seq
	return in.due(), nil
}

func (in *Inbox) due() bool {
	closeUnsaid := in.closed != 0 && in.consumed == in.closed && in.reported < in.consumed
	return in.consumedBytes*2 >= in.window || closeUnsaid
}

// Owes reports whether there is something to say in a receipt.
func (in *Inbox) Owes() bool { return in.confirm || in.reported < in.consumed }

// receipt returns what to say in a receipt and counts it as said.
func (in *Inbox) receipt() uint64 {
	in.report(in.consumed, in.consumedBytes)
	in.confirm = false
	return in.reported
}

// report counts as said that all through consumed was consumed, which counted bytes.
func (in *Inbox) report(consumed uint64, bytes int) {
	in.reported = consumed
	in.outstanding -= bytes
	in.consumedBytes -= bytes
}

// Waiting returns how many messages Take could give out.
func (in *Inbox) Waiting() int { return in.ready.len() }

// Next returns the message that Take would give out.
func (in *Inbox) Next() (Message, bool) {
	if in.ready.len() == 0 {
		return Message{}, false
	}
	return in.ready.at(0), true
}

// Taken returns the number of the last message that Take gave out.
func (in *Inbox) Taken() uint64 { return in.taken }

// Received returns the number of the last message received in order.
func (in *Inbox) Received() uint64 { return in.received }

// Consumed returns the number of the last message that the owner is done with.
func (in *Inbox) Consumed() uint64 { return in.consumed }

// Held returns how many messages the buffer of a handoff holds.
func (in *Inbox) Held() int { return len(in.buffer) }

// Bytes returns the cost of what was received and not yet covered by a receipt, in bytes.
func (in *Inbox) Bytes() int { return in.outstanding }

// ended returns the kind of the message that ended the direction, of those that were received, or 0.
func (in *Inbox) ended() MessageKind {
	switch {
	case in.closed != 0:
		return Close
	case in.halfClosed != 0:
		return HalfClose
	}
	return 0
}

// Closed reports whether the peer's Close has arrived.
func (in *Inbox) Closed() bool { return in.closed != 0 }
