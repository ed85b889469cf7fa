package ordering

import (
	"errors"
	"testing"
)

// initiatorStates makes an initiator in each of its states.
var initiatorStates = map[InitiatorState]func(*testing.T) *Initiator{
	Opening: opening, Settled: settled, Migrating: migrating, Confirming: confirming,
	Parked: parked, Resuming: resuming, Reopening: reopening,
}

// Park is legal in every state, gives up every path, and does nothing more when it is repeated.
func TestInitiatorParkInEveryState(t *testing.T) {
	for state, in := range initiatorStates {
		t.Run(state.String(), func(t *testing.T) {
			i := in(t)
			if i.State() != state {
				t.Fatalf("%v", i.State())
			}
			mustPush(t, &i.Outbox, small(1))
			epoch := i.Epoch()
			i.Park()
			for _, path := range []Path{0, pathA, pathB, pathC} {
				wantNext(t, i, path)
				if i.Uses(path) || i.Ready(path) {
					t.Errorf("parked, but uses path %d (%v) or is ready for it (%v)", path, i.Uses(path), i.Ready(path))
				}
			}
			if i.State() != Parked || i.Epoch() != epoch || i.Path() != 0 || i.Previous() != 0 {
				t.Errorf("%v of epoch %v, was %v, on %d from %d", i.State(), i.Epoch(), epoch, i.Path(), i.Previous())
			}
			before := i.clone()
			i.Park()
			wantSame(t, before, i.clone())
		})
	}
}

// Resume is legal in every state, via any path, and what it says depends only on whether the responder was heard.
func TestInitiatorResumeInEveryState(t *testing.T) {
	for state, in := range initiatorStates {
		for _, target := range []Path{pathA, pathB, pathC} {
			t.Run(state.String(), func(t *testing.T) {
				i := in(t)
				mustPush(t, &i.Outbox, small(1))
				want, then := resume(i.Epoch().NextMove(), 0), Resuming
				if state == Opening || state == Reopening {
					want, then = Frame{Kind: Open, Epoch: want.Epoch}, Reopening
				}
				mustResume(t, i, target)
				if i.State() != then || i.Epoch() != want.Epoch || i.Path() != target || i.Previous() != 0 {
					t.Errorf("%v of epoch %v on %d from %d", i.State(), i.Epoch(), i.Path(), i.Previous())
				}
				for _, path := range []Path{pathA, pathB, pathC} {
					if path == target {
						wantNext(t, i, path, want)
					} else {
						wantNext(t, i, path)
					}
				}
				mustTake(t, i, target, answer(want.Epoch, 0))
				wantNext(t, i, target, data(want.Epoch, 1))
			})
		}
	}
}

func TestInitiatorResumeViaNoPath(t *testing.T) {
	for state, in := range initiatorStates {
		i := in(t)
		before := i.clone()
		if err := i.Resume(0); !errors.Is(err, ErrNotMovable) {
			t.Errorf("%v: %v, want %v", state, err, ErrNotMovable)
		}
		wantSame(t, before, i.clone())
	}
}

// sentThree has sent the messages 1 to 3, of which the first was acknowledged, and received the messages 1 and 2, of which
// the first was consumed and its receipt sent. Then it is taken up via B.
func sentThree(t *testing.T) *Initiator {
	i := settled(t)
	mustPush(t, &i.Outbox, small(1), small(2), small(3), small(4))
	for range 3 {
		i.Next(pathA)
	}
	mustTake(t, i, pathA, withReceipt(data(epoch1, 1), 1))
	i.Inbox.Take()
	i.Inbox.Consume()
	i.Inbox.receipt()
	mustTake(t, i, pathA, data(epoch1, 2))
	mustResume(t, i, pathB)
	wantNext(t, i, pathB, resume(epoch2, 2))
	return i
}

// The relay replays what the app has not received, and first repeats its receipt, which may be lost.
func TestInitiatorReplays(t *testing.T) {
	for received := uint64(1); received <= 3; received++ {
		i := sentThree(t)
		mustTake(t, i, pathB, answer(epoch2, received))
		want := []Frame{receipt(epoch2, 1)}
		for seq := received + 1; seq <= 4; seq++ {
			want = append(want, data(epoch2, seq))
		}
		wantNext(t, i, pathB, want...)
		if i.Outbox.Acked() != 1 {
			t.Errorf("acked %d: a replay frees nothing", i.Outbox.Acked())
		}
	}
}

// A peer that answers with what cannot be is refused, and the end stays as it was.
func TestInitiatorRefusesToReplay(t *testing.T) {
	for _, c := range []struct {
		name string
		path Path
		f    Frame
		rule Rule
	}{
		{"the future", pathB, answer(epoch2, 4), RuleRewind},
		{"the far future", pathB, answer(epoch2, 1<<63), RuleRewind},
		{"before what was acknowledged", pathB, answer(epoch2, 0), RuleRewind},
		{"a receipt for the future", pathB, withReceipt(answer(epoch2, 2), 4), RuleReceipt},
		{"the wrong path", pathA, answer(epoch2, 2), RuleOrder},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := sentThree(t)
			before := i.clone()
			_, err := i.Receive(c.path, c.f)
			wantBreach(t, err, c.rule, before, i.clone())
		})
	}
	i := migrating(t)
	before := i.clone()
	_, err := i.Receive(pathB, answer(epoch2, 0))
	wantBreach(t, err, RuleOrder, before, i.clone())
}

// An app that acknowledged messages of a connection cannot find it new.
func TestReopenedConnectionThatIsNewAndAcknowledged(t *testing.T) {
	i := opening(t)
	mustPush(t, &i.Outbox, small(1))
	wantNext(t, i, pathA, Frame{Kind: Open, Epoch: epoch1}, data(epoch1, 1))
	mustResume(t, i, pathB)
	mustTake(t, i, pathA, receipt(epoch1, 1))
	before := i.clone()
	_, err := i.Receive(pathB, receipt(epoch2, 0))
	wantBreach(t, err, RuleRewind, before, i.clone())
	mustTake(t, i, pathB, answer(epoch2, 1))
}

// What is opened again is sent again, whether the app has seen the first Open or not.
func TestInitiatorReopens(t *testing.T) {
	for _, first := range []Frame{receipt(epoch2, 0), answer(epoch2, 0)} {
		i := opening(t)
		mustPush(t, &i.Outbox, small(1))
		wantNext(t, i, pathA, Frame{Kind: Open, Epoch: epoch1}, data(epoch1, 1))
		mustResume(t, i, pathB)
		wantNext(t, i, pathB, Frame{Kind: Open, Epoch: epoch2})
		mustTake(t, i, pathB, first)
		wantNext(t, i, pathB, data(epoch2, 1))
	}
}
