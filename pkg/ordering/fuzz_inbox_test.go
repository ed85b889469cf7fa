package ordering

import (
	"slices"
	"testing"
)

// inboxModel says in the plainest way what an Inbox is to do. Message number n is always the same.
type inboxModel struct {
	window int
	// ready, held and taken are numbers of messages: those to take, those in the buffer, and those taken and not yet said in
	// a receipt.
	ready, held, taken []uint64
	received, consumed uint64
	// kinds are those of the messages that were admitted and not discarded; sent those of all that were ever admitted, as
	// the peer sends the same message when it repeats a number.
	kinds, sent map[uint64]MessageKind
}

// accept returns what the inbox is to make of the message: fresh or not, or which rule it breaks.
func (m *inboxModel) accept(seq uint64, msg Message, hold bool) (bool, Rule) {
	last := m.received
	if hold && len(m.held) > 0 {
		last = m.held[len(m.held)-1]
	} else if hold {
		last = max(last, seq-1) // the buffer may begin anywhere
	}
	switch {
	case seq <= last:
		return false, 0
	case seq > last+1:
		return false, RuleGap
	case m.endsBadly(seq, msg):
		return false, RuleAfterClose
	case !msg.ends() && m.bytes() > 0 && m.bytes()+msg.Cost() > m.window:
		return false, RuleWindow
	}
	m.kinds[seq], m.sent[seq] = msg.Kind, msg.Kind
	if hold {
		m.held = append(m.held, seq)
	} else {
		m.ready, m.received = append(m.ready, seq), seq
	}
	return true, 0
}

// endsBadly reports whether the message would follow an end that it must not follow, or be an end before what must not
// follow it. A held message that was received by the other path as well counts for what came last.
func (m *inboxModel) endsBadly(seq uint64, msg Message) bool {
	closed, halfClosed := m.ended(Close), m.ended(HalfClose)
	if (closed > 0 && seq > closed) || (halfClosed > 0 && seq > halfClosed && msg.Kind != Close) {
		return true
	}
	if !msg.ends() || len(m.held) == 0 || m.held[len(m.held)-1] <= seq {
		return false
	}
	return msg.Kind == Close || closed != seq+1
}

func (m *inboxModel) ended(kind MessageKind) uint64 {
	for seq, k := range m.kinds {
		if k == kind {
			return seq
		}
	}
	return 0
}

// bytes returns the cost of all that is not said in a receipt.
func (m *inboxModel) bytes() int {
	sum := 0
	for _, seqs := range [][]uint64{m.ready, m.held, m.taken} {
		for _, seq := range seqs {
			sum += fuzzMessage(seq, m.kinds[seq]).Cost()
		}
	}
	return sum
}

func (m *inboxModel) release() bool {
	if len(m.held) > 0 && m.held[0] != m.received+1 {
		return false
	}
	if len(m.held) > 0 {
		m.received = m.held[len(m.held)-1]
	}
	m.ready, m.held = append(m.ready, m.held...), nil
	return true
}

func (m *inboxModel) discard() {
	for _, seq := range m.held {
		if seq > m.received {
			delete(m.kinds, seq)
		}
	}
	m.held = nil
}

// receipt says that all taken messages were consumed, through the last that the owner was done with.
func (m *inboxModel) receipt() uint64 {
	m.taken = slices.DeleteFunc(m.taken, func(seq uint64) bool { return seq <= m.consumed })
	return m.consumed
}

// fuzzMessage makes message number seq: sizes differ, and a few pass the window.
func fuzzMessage(seq uint64, kind MessageKind) Message {
	msg := Message{Kind: kind, Reason: int32(seq)}
	if !msg.ends() {
		msg.Payload = make([]byte, seq*37%90)
		if seq%16 == 7 {
			msg.Payload = make([]byte, 500)
		}
	}
	return msg
}

// inboxPair is an inbox and its model.
type inboxPair struct {
	in    *Inbox
	model *inboxModel
}

// do plays one byte: what to do, and with which message.
func (p inboxPair) do(t *testing.T, op byte) {
	t.Helper()
	m := p.model
	switch argument := op / 8; op % 8 {
	case 0, 1:
		p.arrive(t, m.received+uint64(argument%4), argument, false)
	case 2, 3:
		next := m.received + uint64(argument%4)
		if len(m.held) > 0 {
			next = m.held[len(m.held)-1] + uint64(argument%3)
		}
		p.arrive(t, next, argument, true)
	case 4:
		before, err := p.in.clone(), p.in.release()
		if ok := m.release(); ok != (err == nil) {
			t.Fatalf("release: %v, want success: %v", err, ok)
		}
		if err != nil {
			wantBreach(t, err, RuleGap, before, p.in.clone())
		}
	case 5:
		p.in.discard()
		m.discard()
	case 6:
		p.take(t)
	case 7:
		p.consume(t, argument)
	}
}

func (p inboxPair) arrive(t *testing.T, seq uint64, argument byte, hold bool) {
	t.Helper()
	kind := Binary
	if argument/4 == 7 {
		kind = []MessageKind{HalfClose, Close}[seq%2]
	}
	if known, ok := p.model.sent[seq]; ok {
		kind = known
	}
	msg, into := fuzzMessage(seq, kind), p.in.accept
	if hold {
		into = p.in.hold
	}
	before := p.in.clone()
	got, err := into(seq, msg)
	want, rule := p.model.accept(seq, msg, hold)
	if rule != 0 {
		wantBreach(t, err, rule, before, p.in.clone())
		return
	}
	if got != want || err != nil {
		t.Fatalf("message %d (%v, held: %v): %v, %v; want %v", seq, kind, hold, got, err, want)
	}
}

func (p inboxPair) take(t *testing.T) {
	t.Helper()
	got, ok := p.in.Take()
	if want := len(p.model.ready) > 0; ok != want {
		t.Fatalf("took %v: %v, want %v", got.Reason, ok, want)
	}
	if !ok {
		return
	}
	seq := p.model.ready[0]
	if !sameMessage(got, fuzzMessage(seq, p.model.kinds[seq])) {
		t.Fatalf("took message %d, want %d", got.Reason, seq)
	}
	p.model.ready, p.model.taken = p.model.ready[1:], append(p.model.taken, seq)
}

func (p inboxPair) consume(t *testing.T, argument byte) {
	t.Helper()
	if argument%2 == 0 {
		p.in.Consume()
		p.model.consumed = p.model.received - uint64(len(p.model.ready))
		return
	}
	if got, want := p.in.receipt(), p.model.receipt(); got != want {
		t.Fatalf("receipt through %d, want %d", got, want)
	}
	if argument%4 == 3 {
		p.in.repeat()
	}
}

// FuzzInboxAccept plays operations on an inbox beside a plain model of it.
func FuzzInboxAccept(f *testing.F) {
	f.Add([]byte{8, 8, 8, 6, 7, 15})
	f.Add([]byte{10, 10, 26, 8, 8, 4, 6, 6, 6})
	f.Add([]byte{10, 250, 5, 8, 232, 232, 8})
	f.Fuzz(func(t *testing.T, ops []byte) {
		p := inboxPair{newInbox(300), &inboxModel{
			window: 300, kinds: make(map[uint64]MessageKind), sent: make(map[uint64]MessageKind),
		}}
		for _, op := range ops[:min(len(ops), 2000)] {
			p.do(t, op)
			if err := p.in.check(); err != nil && !wasDoubled(p.model) {
				t.Fatal(err)
			}
			m := p.model
			if p.in.Received() != m.received || p.in.Held() != len(m.held) || p.in.Waiting() != len(m.ready) || p.in.Bytes() != m.bytes() {
				t.Fatalf("received %d, held %d, waiting %d, %d bytes; want %d, %d, %d, %d", p.in.Received(), p.in.Held(),
					p.in.Waiting(), p.in.Bytes(), m.received, len(m.held), len(m.ready), m.bytes())
			}
			if p.in.Closed() != (m.ended(Close) != 0) {
				t.Fatalf("closed: %v", p.in.Closed())
			}
			if t.Failed() {
				t.FailNow()
			}
		}
	})
}

// wasDoubled reports whether a faulty peer sent a message both by the previous path and by the target.
func wasDoubled(m *inboxModel) bool { return len(m.held) > 0 && m.held[0] <= m.received }
