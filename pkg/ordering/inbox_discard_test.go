package ordering

import "testing"

// What was in the buffer comes again, and is as fresh as it was; what was received is not.
func TestInboxDiscard(t *testing.T) {
	for _, c := range []struct {
		name string
		held []Message
	}{
		{"nothing", nil},
		{"messages", []Message{small(3), small(4)}},
		{"a HalfClose", []Message{small(3), halfClose}},
		{"a Close", []Message{small(3), closing}},
		{"both ends", []Message{halfClose, closing}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := filled(t, 2, 0, 0)
			before := in.clone()
			for range 2 {
				for n, m := range c.held {
					arrival{held: true, seq: uint64(n) + 3, m: m, fresh: true}.apply(t, in)
				}
				in.discard()
				in.buffered = 0
				wantSame(t, before, in.clone())
			}
			for n, m := range c.held {
				arrival{seq: uint64(n) + 3, m: m, fresh: true}.apply(t, in)
			}
			if in.Received() != uint64(2+len(c.held)) {
				t.Errorf("received %d", in.Received())
			}
		})
	}
}

// Ends that were received already stay.
func TestInboxDiscardKeepsWhatWasReceived(t *testing.T) {
	in := newInbox(testWindow)
	arrival{seq: 1, m: halfClose, fresh: true}.apply(t, in)
	arrival{held: true, seq: 2, m: closing, fresh: true}.apply(t, in)
	in.discard()
	if in.Closed() {
		t.Error("closed by a Close that was discarded")
	}
	arrival{seq: 2, m: small(2), rule: RuleAfterClose}.apply(t, in)
	arrival{seq: 2, m: closing, fresh: true}.apply(t, in)
	in.discard()
	if !in.Closed() {
		t.Error("a Close that was received was discarded")
	}
}

// A handoff after a resume has a buffer of its own.
func TestInboxHoldsAgainAfterDiscard(t *testing.T) {
	in := filled(t, 1, 5, 6)
	in.discard()
	arrival{held: true, seq: 3, m: small(3), fresh: true}.apply(t, in)
	arrival{held: true, seq: 5, m: small(5), rule: RuleGap}.apply(t, in)
	arrival{seq: 2, m: small(2), fresh: true}.apply(t, in)
	if err := in.release(); err != nil || in.Received() != 3 {
		t.Errorf("%v, received %d", err, in.Received())
	}
	wantTakes(t, in, 3)
}

// A Close is there once all before it is, and not while it waits in the buffer.
func TestInboxClosing(t *testing.T) {
	in := filled(t, 1, 0, 0)
	closing := Message{Kind: Close, Reason: 7}
	arrival{held: true, seq: 3, m: closing, fresh: true}.apply(t, in)
	if _, ok := in.Closing(); ok || !in.Closed() {
		t.Errorf("closing %v, closed %v while the Close waits in the buffer", ok, in.Closed())
	}
	in.discard()
	if _, ok := in.Closing(); ok || in.Closed() {
		t.Errorf("closing %v, closed %v after the buffer was dropped", ok, in.Closed())
	}
	arrival{seq: 2, m: small(2), fresh: true}.apply(t, in)
	arrival{seq: 3, m: closing, fresh: true}.apply(t, in)
	if m, ok := in.Closing(); !ok || m.Reason != 7 {
		t.Errorf("got %+v, %v", m, ok)
	}
	for range 3 {
		in.Take()
	}
	if _, ok := in.Closing(); ok {
		t.Error("closing after the Close was taken")
	}
}

// What was consumed is said again, or for the first time, and the newest then.
func TestInboxRepeat(t *testing.T) {
	in := filled(t, 2, 0, 0)
	in.repeat()
	if in.Owes() {
		t.Error("owes a receipt for nothing")
	}
	in.Take()
	in.Consume()
	if in.repeat(); !in.confirm {
		t.Error("lets the first receipt wait for a better moment, which was lost with the path")
	}
	in.receipt()
	in.repeat()
	if !in.Owes() {
		t.Error("does not repeat its receipt")
	}
	in.Take()
	in.Consume()
	if n := in.receipt(); n != 2 || in.Owes() || in.Bytes() != 0 {
		t.Errorf("receipt through %d, owes %v, %d bytes", n, in.Owes(), in.Bytes())
	}
}
