package ordering

import "testing"

// takenOver begins where somebody else has sent the messages through 5, of which 3 were consumed and the others count 300 bytes.
func takenOver(ended MessageKind) *Outbox {
	o := newOutbox(testWindow)
	o.takeOver(3, 5, 300, ended)
	return o
}

// What each message counts that somebody else has sent is not known: until all are consumed none is acknowledged, or who sent them
// would take the rest for credit that there is not.
func TestOutboxTakenOverAcknowledgesTogether(t *testing.T) {
	o := takenOver(0)
	for _, c := range []struct {
		consumed, acked uint64
		bytes           int
	}{{0, 3, 300}, {3, 3, 300}, {4, 3, 300}, {5, 5, 0}, {4, 5, 0}} {
		if err := o.Acknowledge(c.consumed); err != nil || o.Acked() != c.acked || o.Bytes() != c.bytes {
			t.Errorf("receipt through %d: acked %d, %d bytes, %v; want %d, %d", c.consumed, o.Acked(), o.Bytes(), err, c.acked, c.bytes)
		}
		if n := o.Retained(); n != 0 { // somebody else does
			t.Errorf("%d bytes are retained here", n)
		}
	}
}

// The numbers go on, the window has the room that is left, and a replay begins with what is retained here.
func TestOutboxTakenOverGoesOn(t *testing.T) {
	o := takenOver(0)
	if o.Ready() || o.HasRoom(sized(testWindow-300)) || !o.HasRoom(sized(testWindow-300-MessageOverhead)) {
		t.Errorf("ready: %v; of %d bytes %d are taken", o.Ready(), o.window, o.Bytes())
	}
	mustPush(t, o, small(6), small(7))
	for _, received := range []uint64{5, 6, 7, 5} {
		if err := o.Rewind(received); err != nil {
			t.Fatal(err)
		}
		for want := received + 1; want <= 7; want++ {
			if seq, m, ok := o.Next(); seq != want || !ok || m.Payload[0] != byte(want) {
				t.Errorf("next: %d, %s, %v; want %d", seq, describe(m), ok, want)
			}
		}
	}
	for _, received := range []uint64{3, 4, 8} {
		before := o.clone()
		wantBreach(t, o.Rewind(received), RuleRewind, before, o.clone())
	}
	before := o.clone()
	wantBreach(t, o.Acknowledge(8), RuleReceipt, before, o.clone())
	if err := o.Acknowledge(6); err != nil || o.Acked() != 6 || o.Bytes() != small(7).Cost() {
		t.Errorf("acked %d, %d bytes, %v", o.Acked(), o.Bytes(), err)
	}
}

// What ended the direction is known, so that nothing may follow and the end is done in time.
func TestOutboxTakenOverEnded(t *testing.T) {
	for _, c := range []struct {
		ended       MessageKind
		text, close error
	}{{0, nil, nil}, {HalfClose, ErrEnded, nil}, {Close, ErrEnded, ErrEnded}} {
		if _, err := takenOver(c.ended).Push(small(6)); err != c.text {
			t.Errorf("ended by %v: a message: %v, want %v", c.ended, err, c.text)
		}
		o := takenOver(c.ended)
		if _, err := o.Push(closing); err != c.close {
			t.Errorf("ended by %v: a Close: %v, want %v", c.ended, err, c.close)
		}
		if !o.Ended() {
			t.Errorf("ended by %v and a Close, and does not know it", c.ended)
		}
	}
	o := newOutbox(testWindow)
	if o.takeOver(5, 5, 0, Close); o.Bytes() != 0 || !o.HasRoom(sized(2*testWindow)) {
		t.Errorf("all is consumed, but %d bytes are taken", o.Bytes())
	}
}

// A message that was sent before may be sent ahead of its replay, as far as the peer knows: it has got it.
func TestOutboxRewindsToWhatWasEverSent(t *testing.T) {
	o := newOutbox(testWindow)
	mustPush(t, o, small(1), small(2), small(3))
	for range 2 {
		o.Next()
	}
	for _, received := range []uint64{0, 2, 1, 2} {
		if err := o.Rewind(received); err != nil {
			t.Fatal(err)
		}
		if received == 1 {
			continue
		}
		if seq, _, ok := o.Next(); seq != received+1 || !ok {
			t.Errorf("next: %d, %v, want %d", seq, ok, received+1)
		}
		if received == 0 {
			before := o.clone()
			wantBreach(t, o.Rewind(3), RuleRewind, before, o.clone())
		}
	}
}

func TestOutboxPushNumbered(t *testing.T) {
	for _, c := range []struct {
		name  string
		seq   uint64
		m     Message
		fresh bool
		rule  Rule
		err   error
	}{
		{"the next", 6, small(6), true, 0, nil},
		{"the last again", 5, small(5), false, 0, nil},
		{"the first again", 1, small(1), false, 0, nil},
		{"a gap", 7, small(7), false, RuleGap, nil},
		{"no number", 0, small(0), false, 0, nil},
		{"one that passes the window", 6, sized(testWindow), false, 0, ErrWindowFull},
		{"a Close that passes the window", 6, closing, true, 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := takenOver(0)
			before := o.clone()
			fresh, err := o.PushNumbered(c.seq, c.m)
			switch {
			case fresh != c.fresh:
				t.Errorf("fresh: %v", fresh)
			case c.rule != 0:
				wantBreach(t, err, c.rule, before, o.clone())
			case err != c.err:
				t.Errorf("%v, want %v", err, c.err)
			case !fresh:
				wantSame(t, before, o.clone())
			case o.Pushed() != 6:
				t.Errorf("pushed %d", o.Pushed())
			}
		})
	}
	if fresh, err := takenOver(Close).PushNumbered(6, small(6)); fresh || err != ErrEnded {
		t.Errorf("after a Close: %v, %v", fresh, err)
	}
	if fresh, err := takenOver(Close).PushNumbered(5, closing); fresh || err != nil {
		t.Errorf("the Close again: %v, %v", fresh, err)
	}
}
