package ordering

import "testing"

func newInbox(window int) *Inbox { return &Inbox{window: window} }

// arrival is a message that arrives: by hold when held, else by accept.
type arrival struct {
	held  bool
	seq   uint64
	m     Message
	fresh bool
	rule  Rule
}

func (a arrival) apply(t *testing.T, in *Inbox) {
	t.Helper()
	before, into := in.clone(), in.accept
	if a.held {
		into = in.hold
	}
	fresh, err := into(a.seq, a.m)
	switch {
	case a.rule != 0:
		wantBreach(t, err, a.rule, before, in.clone())
	case fresh != a.fresh || err != nil:
		t.Errorf("message %d (held %v): fresh %v, %v; want fresh %v", a.seq, a.held, fresh, err, a.fresh)
	case !fresh:
		wantSame(t, before, in.clone())
	}
}

// arrivalCase is what arrives at an inbox with a window of 200 bytes.
type arrivalCase struct {
	name     string
	arrivals []arrival
	// received and held are the counts at the end.
	received uint64
	held     int
}

var arrivalCases = []arrivalCase{
	{"in order", []arrival{{seq: 1, fresh: true}, {seq: 2, fresh: true}}, 2, 0},
	{"number 0", []arrival{{seq: 0}, {held: true, seq: 0}}, 0, 0},
	{"duplicates", []arrival{{seq: 1, fresh: true}, {seq: 1}, {seq: 2, fresh: true}, {seq: 1}}, 2, 0},
	{"a gap", []arrival{{seq: 2, rule: RuleGap}, {seq: 1, fresh: true}, {seq: 3, rule: RuleGap}}, 1, 0},
	{"over the window", []arrival{
		{seq: 1, m: sized(36), fresh: true}, {seq: 2, m: sized(37), rule: RuleWindow}, {seq: 2, m: sized(36), fresh: true},
	}, 2, 0},
	{"a lone large message", []arrival{{seq: 1, m: sized(1000), fresh: true}, {seq: 2, rule: RuleWindow}}, 1, 0},
	{"ends pass a full window", []arrival{
		{seq: 1, m: sized(136), fresh: true}, {seq: 2, m: halfClose, fresh: true}, {seq: 3, m: closing, fresh: true},
	}, 3, 0},
	{"after a HalfClose", []arrival{
		{seq: 1, m: halfClose, fresh: true},
		{seq: 2, rule: RuleAfterClose},
		{seq: 2, m: halfClose, rule: RuleAfterClose},
		{seq: 2, m: closing, fresh: true},
	}, 2, 0},
	{"after a Close", []arrival{
		{seq: 1, m: closing, fresh: true}, {seq: 1, m: closing}, {seq: 2, rule: RuleAfterClose}, {seq: 2, m: closing, rule: RuleAfterClose},
	}, 1, 0},
	{"the buffer opens with a gap and has none itself", []arrival{
		{held: true, seq: 3, fresh: true},
		{held: true, seq: 5, rule: RuleGap},
		{held: true, seq: 4, fresh: true},
		{held: true, seq: 3},
		{held: true, seq: 4},
	}, 0, 2},
	{"the buffer takes nothing that was received", []arrival{{seq: 1, fresh: true}, {held: true, seq: 1}, {held: true, seq: 2, fresh: true}}, 1, 1},
	{"old messages arrive beside the buffer", []arrival{
		{held: true, seq: 3, fresh: true}, {seq: 1, fresh: true}, {seq: 1}, {seq: 2, fresh: true}, {held: true, seq: 4, rule: RuleWindow},
	}, 2, 1},
	{"old messages pass a Close in the buffer", []arrival{
		{held: true, seq: 3, m: closing, fresh: true}, {seq: 1, m: sized(36), fresh: true}, {seq: 2, m: sized(36), fresh: true},
	}, 2, 1},
	{"a lone large message passes a Close in the buffer", []arrival{
		{held: true, seq: 2, m: closing, fresh: true}, {seq: 1, m: sized(1000), fresh: true},
	}, 1, 1},
	{"a HalfClose passes a Close in the buffer", []arrival{
		{held: true, seq: 2, m: closing, fresh: true}, {held: true, seq: 3, rule: RuleAfterClose}, {seq: 1, m: halfClose, fresh: true},
	}, 1, 1},
	{"only a Close follows a HalfClose in the buffer", []arrival{
		{held: true, seq: 2, m: halfClose, fresh: true}, {held: true, seq: 3, rule: RuleAfterClose}, {held: true, seq: 3, m: closing, fresh: true},
	}, 0, 2},
}

func TestInboxArrivals(t *testing.T) {
	for _, c := range arrivalCases {
		t.Run(c.name, func(t *testing.T) {
			in := newInbox(200)
			for _, a := range c.arrivals {
				a.apply(t, in)
			}
			if in.Received() != c.received || in.Held() != c.held {
				t.Errorf("received %d, held %d; want %d and %d", in.Received(), in.Held(), c.received, c.held)
			}
			if err := in.check(); err != nil {
				t.Error(err)
			}
		})
	}
}

// filled returns an inbox that has accepted the messages 1 to received and holds those from first to last.
func filled(t *testing.T, received, first, last uint64) *Inbox {
	t.Helper()
	in := newInbox(testWindow)
	for seq := range received {
		arrival{seq: seq + 1, m: small(byte(seq + 1)), fresh: true}.apply(t, in)
	}
	for seq := first; seq <= last && first > 0; seq++ {
		arrival{held: true, seq: seq, m: small(byte(seq)), fresh: true}.apply(t, in)
	}
	return in
}

func TestInboxRelease(t *testing.T) {
	for _, c := range []struct {
		name                  string
		received, first, last uint64
		rule                  Rule
	}{
		{"nothing", 2, 0, 0, 0},
		{"after all", 2, 3, 5, 0},
		{"from the start", 0, 1, 2, 0},
		{"a gap that did not close", 2, 4, 5, RuleGap},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := filled(t, c.received, c.first, c.last)
			before := in.clone()
			err := in.release()
			if c.rule != 0 {
				wantBreach(t, err, c.rule, before, in.clone())
				return
			}
			if want := max(c.received, c.last); err != nil || in.Received() != want || in.Held() != 0 {
				t.Fatalf("%v: received %d, held %d; want %d and none", err, in.Received(), in.Held(), want)
			}
			wantTakes(t, in, in.Received())
		})
	}
}

// A faulty peer may send a message both by the previous path and by the target.
func TestInboxReleaseOfWhatWasReceived(t *testing.T) {
	in := filled(t, 0, 2, 3)
	arrival{seq: 1, m: small(1), fresh: true}.apply(t, in)
	arrival{seq: 2, m: small(2), fresh: true}.apply(t, in)
	before := in.clone()
	wantBreach(t, in.release(), RuleGap, before, in.clone())
}

// wantTakes fails unless the messages 1 to n and no more can be taken.
func wantTakes(t *testing.T, in *Inbox, n uint64) {
	t.Helper()
	if in.Waiting() != int(n) {
		t.Errorf("%d messages wait, want %d", in.Waiting(), n)
	}
	for seq := range n {
		peek, _ := in.Next()
		m, ok := in.Take()
		if !ok || !sameMessage(m, small(byte(seq+1))) || !sameMessage(m, peek) {
			t.Errorf("took %s after a look at %s, %v; want message %d", describe(m), describe(peek), ok, seq+1)
		}
	}
	_, peeked := in.Next()
	if m, ok := in.Take(); ok || peeked {
		t.Errorf("took %s, want nothing", describe(m))
	}
}

// Credit returns in a receipt for what the owner is done with, and not before.
func TestInboxReturnsCredit(t *testing.T) {
	in := newInbox(200)
	for seq := range uint64(2) {
		arrival{seq: seq + 1, m: sized(36), fresh: true}.apply(t, in)
	}
	third := arrival{seq: 3, m: sized(36), rule: RuleWindow}
	third.apply(t, in)
	in.Take()
	third.apply(t, in)
	if in.Owes() {
		t.Error("owes a receipt for what was only taken")
	}
	in.Consume()
	third.apply(t, in)
	if !in.Owes() || in.Consumed() != 1 || in.Bytes() != 200 {
		t.Errorf("owes %v, consumed %d, %d bytes", in.Owes(), in.Consumed(), in.Bytes())
	}
	if n := in.receipt(); n != 1 || in.Owes() || in.Bytes() != 100 {
		t.Errorf("receipt through %d, owes %v, %d bytes", n, in.Owes(), in.Bytes())
	}
	third.rule, third.fresh = 0, true
	third.apply(t, in)
}

func TestInboxReceiptIsDue(t *testing.T) {
	for _, c := range []struct {
		name string
		m    Message
		take bool
		due  bool
	}{
		{"half the window", sized(36), true, true},
		{"less than half the window", sized(35), true, false},
		{"received and not taken", sized(36), false, false},
		{"a HalfClose", Message{Kind: HalfClose}, true, false},
		{"a Close", Message{Kind: Close}, true, true},
		{"a Close that was not taken", Message{Kind: Close}, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := newInbox(200)
			arrival{seq: 1, m: c.m, fresh: true}.apply(t, in)
			if c.take {
				in.Take()
			}
			if due := in.Consume(); due != c.due {
				t.Errorf("due: %v, want %v", due, c.due)
			}
		})
	}
}

func TestInboxClosed(t *testing.T) {
	in := newInbox(200)
	arrival{seq: 1, m: Message{Kind: HalfClose}, fresh: true}.apply(t, in)
	if in.Closed() {
		t.Error("closed by a HalfClose")
	}
	arrival{seq: 2, m: Message{Kind: Close}, fresh: true}.apply(t, in)
	if !in.Closed() {
		t.Error("not closed by a Close")
	}
}

// A faulty peer ends its direction via the previous path though it has sent more via the target.
func TestEndBeforeBufferedMessagesIsRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		held   Message
		end    Message
		broken bool
	}{
		{"Close before a message", Message{Kind: Binary}, Message{Kind: Close}, true},
		{"HalfClose before a message", Message{Kind: Binary}, Message{Kind: HalfClose}, true},
		{"HalfClose before a Close", Message{Kind: Close}, Message{Kind: HalfClose}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := Inbox{window: 1000}
			if _, err := in.hold(2, c.held); err != nil {
				t.Fatal(err)
			}
			_, err := in.accept(1, c.end)
			if broken := err != nil; broken != c.broken {
				t.Errorf("error %v, want one: %v", err, c.broken)
			}
		})
	}
}
