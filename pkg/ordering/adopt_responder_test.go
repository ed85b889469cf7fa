package ordering

import "testing"

// The first epochs of the generations after the first.
var (
	second = FirstOf(2)
	third  = FirstOf(3)
)

// adopt asks for the connection with the token, for a client that has received and consumed so much.
func adopt(epoch Epoch, token uint32, received, consumed uint64) Frame {
	return Frame{Kind: Adopt, Epoch: epoch, Generation: token, Received: received, Consumed: consumed}
}

func refusal(epoch Epoch, newest uint32, why Refusal) Frame {
	return Frame{Kind: Refuse, Epoch: epoch, Generation: newest, Refusal: why}
}

// A relay that has lost the connection has passed on a receipt, or does so: it is not taken, as the one that has it now asked for
// what was consumed. Else that one could not resume.
func TestResponderTakesNoReceiptOfAnOlderGeneration(t *testing.T) {
	for _, f := range []Frame{receipt(second, 2), withReceipt(data(second, 1), 2), receipt(second, 1), receipt(epoch1, 3)} {
		r := running(t)
		mustPush(t, &r.Outbox, small(1), small(2))
		r.Next(pathA)
		r.Next(pathA)
		mustTake(t, r, pathB, adopt(second, 1, 2, 0))
		mustTake(t, r, pathC, adopt(third, 1, 0, 0)) // the client gave up on this one before
		r.replies = nil
		before := r.clone()
		if v, err := r.Receive(pathB, f); v != StaleEpoch || err != nil {
			t.Errorf("%s: %v, %v; want StaleEpoch", describeFrame(f), v, err)
		}
		wantSame(t, before, r.clone())
		mustTake(t, r, pathA, resume(third.NextMove(), 0))
	}
}

// appHasThree has sent three messages, of which one was acknowledged, and received three, of which one was consumed and that was
// said, another one consumed and not said.
func appHasThree(t *testing.T) *Responder {
	r := running(t)
	mustPush(t, &r.Outbox, small(1), small(2), small(3))
	for range 3 {
		r.Next(pathA)
	}
	for seq := uint64(1); seq <= 3; seq++ {
		mustTake(t, r, pathA, withReceipt(data(epoch1, seq), 1))
	}
	for range 2 {
		r.Inbox.Take()
		r.Inbox.Consume()
		if r.Inbox.Consumed() == 1 {
			wantNext(t, r, pathA, receipt(epoch1, 1))
		}
	}
	return r
}

// adoptedFrom is what the app answers: its window, and what counts of the messages that were not consumed.
func adoptedFrom(epoch Epoch, received, consumed uint64, outstanding int) Frame {
	return Frame{
		Kind: MigrateWithAck, Epoch: epoch, Received: received, Consumed: consumed, Window: testWindow, Outstanding: uint32(outstanding),
	}
}

// wantReply fails unless the responder has these frames, and no more, to send at once via the path.
func wantReply(t *testing.T, r *Responder, path Path, want ...Frame) {
	t.Helper()
	for _, f := range want {
		if p, got, ok := r.Reply(); !ok || p != path || got.Kind != f.Kind || got.Epoch != f.Epoch ||
			got.Generation != f.Generation || got.Refusal != f.Refusal {
			t.Errorf("reply via %d: %s (%v, %d), %v; want (%v, %d) via %d",
				p, describeFrame(got), got.Refusal, got.Generation, ok, f.Refusal, f.Generation, path)
		}
	}
	if p, got, ok := r.Reply(); ok {
		t.Errorf("reply via %d: %s, want nothing", p, describeFrame(got))
	}
}

// The app says what it has, replays what the client has not got, frees what the client has consumed, and tells who had the
// connection before, by the path that carried it.
func TestResponderIsAdopted(t *testing.T) {
	for _, path := range []Path{pathA, pathB} {
		for received := uint64(1); received <= 3; received++ {
			for consumed := uint64(0); consumed <= received; consumed++ {
				r := appHasThree(t)
				mustTake(t, r, path, adopt(third, 1, received, consumed))
				wantReply(t, r, pathA, refusal(epoch1, 3, TakenOver))
				want := []Frame{adoptedFrom(third, 3, 2, small(3).Cost())}
				for seq := received + 1; seq <= 3; seq++ {
					want = append(want, data(third, seq))
				}
				wantNext(t, r, path, want...)
				if r.Epoch() != third || r.Path() != path || r.Outbox.Acked() != max(consumed, 1) {
					t.Errorf("%v on %d, acked %d; want %v on %d, %d", r.Epoch(), r.Path(), r.Outbox.Acked(), third, path, consumed)
				}
			}
		}
	}
}

// In a handoff the relay is told by the previous path, which it still has; the buffer is replayed.
func TestResponderIsAdoptedInAHandoff(t *testing.T) {
	r := appSentThree(t)
	mustTake(t, r, pathC, adopt(second, 1, 3, 2))
	wantReply(t, r, pathA, refusal(epoch1, 2, TakenOver))
	wantNext(t, r, pathA)
	wantNext(t, r, pathB)
	wantNext(t, r, pathC, adoptedFrom(second, 1, 1, 0), data(second, 4))
	mustTake(t, r, pathC, data(second, 2))
}

func TestResponderSaysWhatEndedTheDirection(t *testing.T) {
	for _, ends := range [][]MessageKind{{}, {HalfClose}, {Close}, {HalfClose, Close}} {
		r := running(t)
		want := adoptedFrom(second, uint64(len(ends)), 0, 0)
		for n, kind := range ends {
			mustTake(t, r, pathA, Frame{Kind: Data, Epoch: epoch1, Seq: uint64(n) + 1, Message: Message{Kind: kind}})
			want.Ended = kind
		}
		mustTake(t, r, pathB, adopt(second, 1, 0, 0))
		wantNext(t, r, pathB, want)
	}
}

// What is refused changes nothing, and what is wrong with it ends nothing.
func TestResponderRefusesAdopt(t *testing.T) {
	for _, c := range []struct {
		name string
		f    Frame
		why  Refusal
	}{
		{"the generation in force", adopt(second, 2, 3, 1), Outrun},
		{"an older generation", adopt(epoch1, 2, 3, 1), Outrun},
		{"an older token", adopt(third, 1, 3, 1), Replayed},
		{"an older token with an older generation", adopt(epoch1, 1, 3, 1), Replayed},
		{"no token", adopt(third, 0, 3, 1), Replayed},
		{"what was never sent", adopt(third, 2, 4, 1), Impossible},
		{"what was freed", adopt(third, 2, 0, 0), Impossible},
		{"more consumed than received", adopt(third, 2, 2, 3), Impossible},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := appHasThree(t)
			mustTake(t, r, pathB, adopt(second, 1, 3, 1))
			mustTake(t, r, pathB, Frame{Kind: Receipt, Epoch: second, Consumed: 1, Welcomed: true})
			wantReply(t, r, pathA, refusal(epoch1, 2, TakenOver))
			before := r.clone()
			mustTake(t, r, pathC, c.f)
			wantReply(t, r, pathC, refusal(c.f.Epoch, 2, c.why))
			wantSame(t, before, r.clone())
		})
	}
}

// Until the app is told that the client has its Welcome, the token before is good: the client may have nothing else.
func TestResponderTakesAnOlderTokenUntilTheWelcome(t *testing.T) {
	welcomed := Frame{Kind: Receipt, Epoch: second, Welcomed: true}
	for _, c := range []struct {
		name   string
		frames []Frame
		good   bool
	}{
		{"nothing was said", nil, true},
		{"something else was said", []Frame{receipt(second, 0)}, true},
		{"it was said", []Frame{welcomed}, false},
		{"it was said, and something else after that", []Frame{welcomed, receipt(second, 0)}, false},
		{"it was said after another has taken over", []Frame{adopt(third, 1, 0, 0), welcomed}, false},
		{"it was said with an epoch that is not known", []Frame{{Kind: Receipt, Epoch: third, Welcomed: true}}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := running(t)
			mustTake(t, r, pathB, adopt(second, 1, 0, 0))
			for _, f := range c.frames {
				_, _ = r.Receive(pathB, f)
			}
			r.replies = nil
			mustTake(t, r, pathC, adopt(FirstOf(4), 1, 0, 0))
			if good := r.Epoch() == FirstOf(4); good != c.good {
				t.Errorf("taken: %v, want %v", good, c.good)
			}
		})
	}
}

// What comes from a relay that has lost the connection is dropped; one that tries to move it is told.
func TestResponderAfterAnAdopt(t *testing.T) {
	for _, c := range []struct {
		name string
		f    Frame
		told bool
	}{
		{"data", data(epoch1, 1), false},
		{"a receipt", receipt(epoch1, 0), false},
		{"an Ack", Frame{Kind: Ack, Epoch: epoch2}, false},
		{"Migrate", Frame{Kind: Migrate, Epoch: epoch3}, true},
		{"Resume", resume(epoch3, 0), true},
		{"Resume after what was never sent", resume(epoch3, 7), true},
		{"Open", Frame{Kind: Open, Epoch: epoch3}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := running(t)
			mustTake(t, r, pathB, adopt(second, 1, 0, 0))
			r.replies = nil
			before := r.clone()
			if v, err := r.Receive(pathA, c.f); v != StaleEpoch || err != nil {
				t.Errorf("%v, %v; want StaleEpoch", v, err)
			}
			if c.told {
				wantReply(t, r, pathA, refusal(c.f.Epoch, 2, TakenOver))
			}
			wantSame(t, before, r.clone())
		})
	}
	r := running(t)
	mustTake(t, r, pathB, adopt(second, 1, 0, 0))
	r.replies = nil
	before := r.clone()
	_, err := r.Receive(pathA, answer(epoch1, 0))
	wantBreach(t, err, RuleOrder, before, r.clone())
}

// An end that has lost the connection, and was not told or did not hear it, closes it for a client that does not come back to it: it is
// told then, or it would wait for a receipt for ever.
func TestResponderTellsWhoClosesTooLate(t *testing.T) {
	r := running(t)
	mustTake(t, r, pathB, adopt(second, 1, 0, 0))
	r.replies = nil
	f := data(epoch1, 1)
	f.Message.Kind = Close
	if v, err := r.Receive(pathA, f); v != StaleEpoch || err != nil {
		t.Fatalf("%v, %v; want StaleEpoch", v, err)
	}
	path, reply, ok := r.Reply()
	if !ok || path != pathA || reply.Kind != Refuse || reply.Refusal != TakenOver || reply.Epoch != epoch1 || reply.Generation != 2 {
		t.Errorf("%v via %v, %v", reply, path, ok)
	}
	if r.Inbox.Closed() || r.Epoch() != second {
		t.Errorf("closed is %v, in epoch %v", r.Inbox.Closed(), r.Epoch())
	}
}
