package ordering

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

func newOutbox(window int) *Outbox { return &Outbox{window: window} }

var halfClose, closing = Message{Kind: HalfClose}, Message{Kind: Close, Payload: []byte("why")}

func sized(n int) Message { return Message{Kind: Binary, Payload: make([]byte, n)} }

func TestOutboxNumbersFromOne(t *testing.T) {
	o := newOutbox(testWindow)
	for want := range uint64(3) {
		if seq, err := o.Push(small(byte(want))); seq != want+1 || err != nil {
			t.Errorf("push: %d, %v; want %d", seq, err, want+1)
		}
	}
	for want := range uint64(3) {
		if seq, m, ok := o.Next(); seq != want+1 || !ok || m.Payload[0] != byte(want) {
			t.Errorf("next: %d, %s, %v; want %d", seq, describe(m), ok, want+1)
		}
	}
	if seq, _, ok := o.Next(); ok {
		t.Errorf("next: %d, want nothing", seq)
	}
	if o.Pushed() != 3 || o.Acked() != 0 || o.Bytes() != 3*(1+MessageOverhead) {
		t.Errorf("pushed %d, acked %d, %d bytes", o.Pushed(), o.Acked(), o.Bytes())
	}
}

func TestOutboxPush(t *testing.T) {
	type push struct {
		m   Message
		err error
	}
	const window = 200
	for _, c := range []struct {
		name   string
		pushes []push
		bytes  int
	}{
		{"exactly full", []push{{sized(36), nil}, {sized(36), nil}}, 200},
		{"one byte over", []push{{sized(36), nil}, {sized(37), ErrWindowFull}}, 100},
		{"a smaller one fits after a refused one", []push{{sized(36), nil}, {sized(37), ErrWindowFull}, {sized(0), nil}}, 164},
		{"a lone large message", []push{{sized(1000), nil}, {sized(0), ErrWindowFull}}, 1064},
		{"a large message that is not alone", []push{{sized(0), nil}, {sized(1000), ErrWindowFull}}, 64},
		{"a full window lets ends pass", []push{{sized(136), nil}, {halfClose, nil}, {closing, nil}}, 200},
		{"a HalfClose ends all but a Close", []push{{halfClose, nil}, {sized(0), ErrEnded}, {halfClose, ErrEnded}, {closing, nil}}, 0},
		{"a Close ends all", []push{{closing, nil}, {sized(0), ErrEnded}, {halfClose, ErrEnded}, {closing, ErrEnded}}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOutbox(window)
			for i, p := range c.pushes {
				before := o.clone()
				_, err := o.Push(p.m)
				if !errors.Is(err, p.err) {
					t.Errorf("push %d: %v, want %v", i, err, p.err)
				}
				if err != nil && !reflect.DeepEqual(o.clone(), before) {
					t.Errorf("refused push %d changed %+v to %+v", i, before, o)
				}
			}
			if o.Bytes() != c.bytes {
				t.Errorf("%d bytes, want %d", o.Bytes(), c.bytes)
			}
		})
	}
}

func TestOutboxReceiptsFree(t *testing.T) {
	o := newOutbox(200)
	mustPush(t, o, sized(36), sized(36))
	o.Next()
	if o.HasRoom(sized(0)) {
		t.Error("what was only sent freed room")
	}
	if err := o.Acknowledge(1); err != nil {
		t.Fatal(err)
	}
	if !o.HasRoom(sized(36)) || o.HasRoom(sized(37)) || o.Bytes() != 100 || o.Acked() != 1 {
		t.Errorf("%d bytes, acked %d after the receipt of one of two", o.Bytes(), o.Acked())
	}
	if seq, _, _ := o.Next(); seq != 2 {
		t.Errorf("next is %d, want 2: a receipt does not move the point from which is sent", seq)
	}
	if err := o.Acknowledge(2); err != nil || !o.HasRoom(sized(1000)) {
		t.Errorf("no room for a lone message when nothing is outstanding: %v", err)
	}
}

func TestOutboxAcknowledge(t *testing.T) {
	for _, c := range []struct {
		name     string
		consumed uint64
		acked    uint64
		rule     Rule
	}{
		{"repeated", 2, 2, 0},
		{"late", 1, 2, 0},
		{"empty", 0, 2, 0},
		{"all that was sent", 3, 3, 0},
		{"pushed and not sent", 4, 2, RuleReceipt},
		{"never pushed", 5, 2, RuleReceipt},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOutbox(testWindow)
			mustPush(t, o, small(1), small(2), small(3), small(4))
			for range 3 {
				o.Next()
			}
			if err := o.Acknowledge(2); err != nil {
				t.Fatal(err)
			}
			before := o.clone()
			err := o.Acknowledge(c.consumed)
			if c.rule != 0 {
				wantBreach(t, err, c.rule, before, o.clone())
			} else if err != nil || o.Acked() != c.acked {
				t.Errorf("acked %d, %v; want %d", o.Acked(), err, c.acked)
			}
		})
	}
}

func TestOutboxPause(t *testing.T) {
	o := newOutbox(testWindow)
	mustPush(t, o, small(1))
	o.Pause()
	mustPush(t, o, small(2))
	if seq, _, ok := o.Next(); ok || o.Ready() {
		t.Errorf("paused, but ready %v and gave out %d", o.Ready(), seq)
	}
	o.Resume()
	for want := range uint64(2) {
		if seq, _, ok := o.Next(); !ok || seq != want+1 {
			t.Errorf("next: %d, %v; want %d", seq, ok, want+1)
		}
	}
	if o.Ready() {
		t.Error("ready with nothing to send")
	}
}

func TestOutboxEnded(t *testing.T) {
	o := newOutbox(testWindow)
	mustPush(t, o, Message{Kind: HalfClose})
	if o.Ended() {
		t.Error("a HalfClose ended the direction for a Close")
	}
	mustPush(t, o, Message{Kind: Close})
	if !o.Ended() {
		t.Error("a Close did not end the direction")
	}
}

// Rewind moves the point from which is sent and nothing else; what is acknowledged cannot be sent again.
func TestOutboxRewind(t *testing.T) {
	for _, c := range []struct {
		name     string
		received uint64
		rule     Rule
	}{
		{"to what was acknowledged", 2, 0},
		{"by one", 3, 0},
		{"by none", 4, 0},
		{"before what was acknowledged", 1, RuleRewind},
		{"to the start", 0, RuleRewind},
		{"pushed and not sent", 5, RuleRewind},
		{"never pushed", 6, RuleRewind},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOutbox(testWindow)
			mustPush(t, o, small(1), small(2), small(3), small(4), small(5))
			for range 4 {
				o.Next()
			}
			if err := o.Acknowledge(2); err != nil {
				t.Fatal(err)
			}
			before, bytes := o.clone(), o.Bytes()
			err := o.Rewind(c.received)
			if c.rule != 0 {
				wantBreach(t, err, c.rule, before, o.clone())
				return
			}
			if err != nil || o.Acked() != 2 || o.Bytes() != bytes || o.Pushed() != 5 {
				t.Errorf("%v: acked %d, %d bytes, pushed %d", err, o.Acked(), o.Bytes(), o.Pushed())
			}
			for want := c.received + 1; want <= 5; want++ {
				if seq, m, ok := o.Next(); seq != want || !ok || m.Payload[0] != byte(want) {
					t.Errorf("next: %d, %s, %v; want %d", seq, describe(m), ok, want)
				}
			}
		})
	}
}

// What a rewind took back was not sent yet, as far as receipts go.
func TestOutboxReceiptAfterRewind(t *testing.T) {
	o := newOutbox(testWindow)
	mustPush(t, o, small(1), small(2))
	o.Next()
	o.Next()
	if err := o.Rewind(1); err != nil {
		t.Fatal(err)
	}
	before := o.clone()
	wantBreach(t, o.Acknowledge(2), RuleReceipt, before, o.clone())
	o.Next()
	if err := o.Acknowledge(2); err != nil || o.Bytes() != 0 {
		t.Errorf("%v, %d bytes", err, o.Bytes())
	}
}

// The payload of a message is given back once, when a receipt frees it: not when it is sent, nor when it is replayed.
func TestOutboxGivesPayloadsBack(t *testing.T) {
	var freed []byte
	o := Outbox{window: 1 << 20, Freed: func(payload []byte) { freed = append(freed, payload...) }}
	for i := range byte(4) {
		mustPush(t, &o, small(i+1))
	}
	for range 3 {
		o.Next()
	}
	check := func(when string, want ...byte) {
		t.Helper()
		if !bytes.Equal(freed, want) {
			t.Errorf("%s: given back %v, want %v", when, freed, want)
		}
	}
	check("sent")
	for _, consumed := range []uint64{1, 1, 0} {
		if err := o.Acknowledge(consumed); err != nil {
			t.Fatal(err)
		}
	}
	check("the first consumed, said twice", 1)
	if err := o.Rewind(1); err != nil {
		t.Fatal(err)
	}
	o.Next()
	check("the second replayed", 1)
	if err := o.Acknowledge(3); err == nil {
		t.Error("a receipt for what was not sent again is taken")
	}
	o.Next()
	if err := o.Acknowledge(3); err != nil {
		t.Fatal(err)
	}
	check("two more consumed", 1, 2, 3)
}
