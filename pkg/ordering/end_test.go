package ordering

import "testing"

// Handshake frames go first, then the receipt that confirms, then messages, then a receipt alone.
func TestNextOrder(t *testing.T) {
	i := opening(t)
	mustPush(t, &i.Outbox, small(1))
	wantNext(t, i, pathA, Frame{Kind: Open, Epoch: epoch1}, data(epoch1, 1))

	r := NewResponder(pathA, Frame{Kind: Open, Epoch: epoch1}, testWindow)
	mustPush(t, &r.Outbox, small(1))
	wantNext(t, r, pathA, receipt(epoch1, 0), data(epoch1, 1))

	mustTake(t, r, pathB, Frame{Kind: Migrate, Epoch: epoch2})
	mustTake(t, r, pathA, Frame{Kind: Ack, Epoch: epoch2})
	mustPush(t, &r.Outbox, small(2))
	mustTake(t, r, pathB, data(epoch2, 1))
	r.Inbox.Take()
	r.Inbox.Consume()
	wantNext(t, r, pathA, Frame{Kind: MigrateWithAck, Epoch: epoch2})
	wantNext(t, r, pathB, receipt(epoch2, 1), data(epoch2, 2))
}

// A receipt rides on the next message, if that is not one that ends the direction, and goes alone else.
func TestNextReceipt(t *testing.T) {
	for _, c := range []struct {
		name   string
		pushed []Message
		want   []Frame
	}{
		{"alone", nil, []Frame{receipt(epoch1, 1)}},
		{"on the first message", []Message{small(1), small(2)}, []Frame{withReceipt(data(epoch1, 1), 1), data(epoch1, 2)}},
		{"not on a Close", []Message{{Kind: Close}}, []Frame{
			{Kind: Data, Epoch: epoch1, Seq: 1, Message: Message{Kind: Close}}, receipt(epoch1, 1),
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := settled(t)
			mustTake(t, i, pathA, data(epoch1, 1))
			wantNext(t, i, pathA)
			i.Inbox.Take()
			i.Inbox.Consume()
			mustPush(t, &i.Outbox, c.pushed...)
			wantNext(t, i, pathB)
			wantNext(t, i, pathA, c.want...)
		})
	}
}

type readier interface{ Ready(path Path) bool }

// Ready is for what should not wait: all but a receipt alone.
func TestReady(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(t *testing.T) readier
		want [2]bool
	}{
		{"a handshake frame", func(t *testing.T) readier { return opening(t) }, [2]bool{true, false}},
		{"nothing", func(t *testing.T) readier { return settled(t) }, [2]bool{false, false}},
		{"a handshake frame by the target", func(t *testing.T) readier { return migrating(t) }, [2]bool{false, true}},
		{"a message", func(t *testing.T) readier {
			i := settled(t)
			mustPush(t, &i.Outbox, small(1))
			return i
		}, [2]bool{true, false}},
		{"a receipt alone", func(t *testing.T) readier {
			i := settled(t)
			mustTake(t, i, pathA, data(epoch1, 1))
			i.Inbox.Take()
			i.Inbox.Consume()
			return i
		}, [2]bool{false, false}},
		{"a message while paused", func(t *testing.T) readier {
			r := paused(t)
			mustPush(t, &r.Outbox, small(1))
			wantNext(t, r, pathA, Frame{Kind: MigrateWithAck, Epoch: epoch2})
			return r
		}, [2]bool{false, false}},
	} {
		e := c.end(t)
		if got := [2]bool{e.Ready(pathA), e.Ready(pathB)}; got != c.want {
			t.Errorf("%s: ready %v, want %v", c.name, got, c.want)
		}
	}
}

func TestReadyToConfirm(t *testing.T) {
	r := moved(t)
	if !r.Ready(pathB) {
		t.Error("not ready to confirm the handoff")
	}
	wantNext(t, r, pathB, receipt(epoch2, 0))
	if r.Ready(pathB) {
		t.Error("still ready after the confirmation")
	}
}

// Done after the peer consumed this end's Close.
func TestDoneByOwnClose(t *testing.T) {
	i := settled(t)
	mustPush(t, &i.Outbox, small(1), Message{Kind: Close})
	for _, f := range []Frame{receipt(epoch1, 0), receipt(epoch1, 1)} {
		i.Next(pathA)
		mustTake(t, i, pathA, f)
		if i.Done() {
			t.Errorf("done after %s", describeFrame(f))
		}
	}
	mustTake(t, i, pathA, receipt(epoch1, 2))
	if !i.Done() {
		t.Error("not done after the receipt of the Close")
	}
}

// A HalfClose ends nothing but a direction.
func TestDoneNotByHalfClose(t *testing.T) {
	i := settled(t)
	mustPush(t, &i.Outbox, Message{Kind: HalfClose})
	i.Next(pathA)
	mustTake(t, i, pathA, receipt(epoch1, 1))
	if i.Done() {
		t.Error("done by a HalfClose")
	}
}

// Done after the peer was told that its Close was consumed.
func TestDoneByPeersClose(t *testing.T) {
	i := settled(t)
	mustTake(t, i, pathA, data(epoch1, 1))
	mustTake(t, i, pathA, Frame{Kind: Data, Epoch: epoch1, Seq: 2, Message: Message{Kind: Close}})
	for range 2 {
		if i.Done() {
			t.Error("done before the Close was consumed and a receipt said so")
		}
		i.Inbox.Take()
		i.Inbox.Consume()
	}
	if i.Done() {
		t.Error("done before a receipt said that the Close was consumed")
	}
	wantNext(t, i, pathA, receipt(epoch1, 2))
	if !i.Done() {
		t.Error("not done after the receipt for the Close")
	}
}

// A receipt to repeat does not wait, and goes before what is replayed.
func TestRepeatedReceipt(t *testing.T) {
	i := settled(t)
	mustPush(t, &i.Outbox, small(1))
	wantNext(t, i, pathA, data(epoch1, 1))
	mustTake(t, i, pathA, data(epoch1, 1))
	i.Inbox.Take()
	i.Inbox.Consume()
	wantNext(t, i, pathA, receipt(epoch1, 1))
	mustResume(t, i, pathB)
	wantNext(t, i, pathB, resume(epoch2, 1))
	mustTake(t, i, pathB, answer(epoch2, 0))
	if !i.Ready(pathB) || i.Ready(pathA) {
		t.Errorf("ready via B %v, via A %v", i.Ready(pathB), i.Ready(pathA))
	}
	wantNext(t, i, pathB, receipt(epoch2, 1), data(epoch2, 1))
}

// A parked end gives out nothing, and what is pushed then waits for its resume.
func TestParkedEndSendsNothing(t *testing.T) {
	i := settled(t)
	mustTake(t, i, pathA, data(epoch1, 1))
	i.Inbox.Take()
	i.Inbox.Consume()
	i.Park()
	mustPush(t, &i.Outbox, small(1))
	for _, path := range []Path{0, pathA, pathB} {
		wantNext(t, i, path)
		if i.Ready(path) {
			t.Errorf("parked, but ready for %d", path)
		}
	}
	mustResume(t, i, pathB)
	wantNext(t, i, pathB, resume(epoch2, 1))
	mustTake(t, i, pathB, answer(epoch2, 0))
	wantNext(t, i, pathB, receipt(epoch2, 1), data(epoch2, 1)) // what was owed at the loss, at once
}
