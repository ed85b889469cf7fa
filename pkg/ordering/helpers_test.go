package ordering

import (
	"errors"
	"reflect"
	"testing"
)

// The paths of the tests of one end, and the epochs of the first three placements.
const (
	pathA = Path(1)
	pathB = Path(2)
	pathC = Path(3)

	epoch1 = FirstEpoch
	epoch2 = FirstEpoch + 1
	epoch3 = FirstEpoch + 2

	testWindow = 1000
)

// The makers below bring a new end into each of its states, by way of the state before.

func opening(*testing.T) *Initiator { return NewInitiator(pathA, testWindow) }

func settled(t *testing.T) *Initiator {
	i := opening(t)
	wantNext(t, i, pathA, Frame{Kind: Open, Epoch: epoch1})
	mustTake(t, i, pathA, Frame{Kind: Receipt, Epoch: epoch1})
	return i
}

// migrating moves from A to B.
func migrating(t *testing.T) *Initiator {
	i := settled(t)
	if err := i.Migrate(pathB); err != nil {
		t.Fatal(err)
	}
	return i
}

func confirming(t *testing.T) *Initiator {
	i := migrating(t)
	mustTake(t, i, pathA, Frame{Kind: MigrateWithAck, Epoch: epoch2})
	return i
}

// parkedOpening was never confirmed.
func parkedOpening(t *testing.T) *Initiator {
	i := opening(t)
	wantNext(t, i, pathA, Frame{Kind: Open, Epoch: epoch1})
	i.Park()
	return i
}

func parked(t *testing.T) *Initiator {
	i := settled(t)
	i.Park()
	return i
}

// resuming goes on via B.
func resuming(t *testing.T) *Initiator {
	i := parked(t)
	mustResume(t, i, pathB)
	return i
}

// reopening opens again via B.
func reopening(t *testing.T) *Initiator {
	i := parkedOpening(t)
	mustResume(t, i, pathB)
	return i
}

func running(t *testing.T) *Responder {
	r := NewResponder(pathA, Frame{Kind: Open, Epoch: epoch1}, testWindow)
	wantNext(t, r, pathA, Frame{Kind: Receipt, Epoch: epoch1})
	return r
}

// paused moves from A to B.
func paused(t *testing.T) *Responder {
	r := running(t)
	mustTake(t, r, pathB, Frame{Kind: Migrate, Epoch: epoch2})
	return r
}

func moved(t *testing.T) *Responder {
	r := paused(t)
	mustTake(t, r, pathA, Frame{Kind: Ack, Epoch: epoch2})
	return r
}

// resumed was taken up on B while it was paused on its way from A to B.
func resumed(t *testing.T) *Responder {
	r := paused(t)
	mustTake(t, r, pathB, resume(epoch3, 0))
	return r
}

// anyEnd is an Initiator or a Responder.
type anyEnd interface {
	Receive(path Path, f Frame) (Verdict, error)
	Next(path Path) (Frame, bool)
}

func data(epoch Epoch, seq uint64) Frame {
	return Frame{Kind: Data, Epoch: epoch, Seq: seq, Message: small(byte(seq))}
}

func resume(epoch Epoch, received uint64) Frame {
	return Frame{Kind: Resume, Epoch: epoch, Received: received}
}

// answer is MigrateWithAck that answers a Resume.
func answer(epoch Epoch, received uint64) Frame {
	return Frame{Kind: MigrateWithAck, Epoch: epoch, Received: received}
}

func receipt(epoch Epoch, consumed uint64) Frame {
	return Frame{Kind: Receipt, Epoch: epoch, Consumed: consumed}
}

// withReceipt puts a receipt on a frame to ride along.
func withReceipt(f Frame, consumed uint64) Frame {
	f.Consumed = consumed
	return f
}

// wantBreach fails unless err is a breach of the rule and the end is still as it was.
func wantBreach(t *testing.T, err error, rule Rule, before, after any) {
	t.Helper()
	var breach *ProtocolError
	if !errors.As(err, &breach) || breach.Rule != rule {
		t.Errorf("error %v, want a breach of rule %v", err, rule)
	}
	wantSame(t, before, after)
}

func wantSame(t *testing.T, before, after any) {
	t.Helper()
	if !reflect.DeepEqual(before, after) {
		t.Errorf("changed\n%+v to\n%+v", before, after)
	}
}

func mustTake(t *testing.T, e anyEnd, path Path, f Frame) {
	t.Helper()
	if v, err := e.Receive(path, f); v != Taken || err != nil {
		t.Fatalf("%s via %d: %v, %v", describeFrame(f), path, v, err)
	}
}

func mustResume(t *testing.T, i *Initiator, target Path) {
	t.Helper()
	if err := i.Resume(target); err != nil {
		t.Fatal(err)
	}
}

func mustPush(t *testing.T, o *Outbox, ms ...Message) {
	t.Helper()
	for _, m := range ms {
		if _, err := o.Push(m); err != nil {
			t.Fatalf("push %s: %v", describe(m), err)
		}
	}
}

// wantNext fails unless these frames and no more are to be sent via the path.
func wantNext(t *testing.T, e anyEnd, path Path, want ...Frame) {
	t.Helper()
	for _, w := range want {
		if f, ok := e.Next(path); !ok || !reflect.DeepEqual(f, w) {
			t.Errorf("next via %d: %s, %v; want %s", path, describeFrame(f), ok, describeFrame(w))
		}
	}
	if f, ok := e.Next(path); ok {
		t.Errorf("next via %d: %s, want nothing", path, describeFrame(f))
	}
}
