package ordering

import "testing"

func migrate(epoch Epoch) Frame { return Frame{Kind: Migrate, Epoch: epoch} }

func ack(epoch Epoch) Frame { return Frame{Kind: Ack, Epoch: epoch} }

// responderCase is a frame in a state, what becomes of it, and the state after.
type responderCase struct {
	name    string
	in      func(*testing.T) *Responder
	path    Path
	frame   Frame
	verdict Verdict
	rule    Rule
	state   ResponderState
}

var responderCases = []responderCase{
	{"running: data", running, pathA, data(epoch1, 1), Taken, 0, Running},
	{"running: a gap", running, pathA, data(epoch1, 2), 0, RuleGap, Running},
	{"running: data by another path", running, pathB, data(epoch1, 1), WrongPath, 0, Running},
	{"running: data of the past", running, pathA, data(epoch1-1, 1), StaleEpoch, 0, Running},
	{"running: data of the future", running, pathA, data(epoch2, 1), 0, RuleEpoch, Running},
	{"running: data of the future by another path", running, pathB, data(epoch2, 1), 0, RuleEpoch, Running},
	{"running: a receipt for what was never sent", running, pathA, receipt(epoch1, 1), 0, RuleReceipt, Running},
	{"running: one by another path", running, pathB, receipt(epoch1, 1), 0, RuleReceipt, Running},
	{"running: one that rides", running, pathA, withReceipt(data(epoch1, 1), 1), 0, RuleReceipt, Running},
	{"running: Migrate", running, pathB, migrate(epoch2), Taken, 0, Paused},
	{"running: Migrate of any higher move", running, pathB, migrate(epoch3 + 7), Taken, 0, Paused},
	{"running: Migrate of a higher generation", running, pathB, migrate(epoch3 + 1<<32), 0, RuleEpoch, Running},
	{"running: Migrate onto the same path", running, pathA, migrate(epoch2), 0, RuleOrder, Running},
	{"running: Migrate of the same epoch", running, pathB, migrate(epoch1), StaleEpoch, 0, Running},
	{"running: Migrate of the past", running, pathB, migrate(epoch1 - 1), StaleEpoch, 0, Running},
	{"running: Ack", running, pathA, ack(epoch1), 0, RuleOrder, Running},
	{"running: Ack of the past", running, pathA, ack(epoch1 - 1), StaleEpoch, 0, Running},
	{"running: Ack of the future", running, pathA, ack(epoch2), 0, RuleOrder, Running},
	{"running: Open again", running, pathA, Frame{Kind: Open, Epoch: epoch1}, StaleEpoch, 0, Running},
	{"running: Open of a higher epoch", running, pathB, Frame{Kind: Open, Epoch: epoch2}, Taken, 0, Running},
	{"running: Resume", running, pathB, resume(epoch2, 0), Taken, 0, Running},
	{"running: Resume on the same path", running, pathA, resume(epoch2, 0), Taken, 0, Running},
	{"running: Resume of any higher move", running, pathB, resume(epoch3+7, 0), Taken, 0, Running},
	{"running: Resume of a higher generation", running, pathB, resume(epoch3+1<<32, 0), 0, RuleEpoch, Running},
	{"running: Resume of the same epoch", running, pathB, resume(epoch1, 0), StaleEpoch, 0, Running},
	{"running: Resume of the past", running, pathB, resume(epoch1-1, 0), StaleEpoch, 0, Running},
	{"running: Resume after what was never sent", running, pathB, resume(epoch2, 1), 0, RuleRewind, Running},
	{"running: Resume with a bad receipt", running, pathB, withReceipt(resume(epoch2, 0), 1), 0, RuleReceipt, Running},
	{"running: Resume of the past with a bad receipt", running, pathB, withReceipt(resume(epoch1, 0), 1), 0, RuleReceipt, Running},
	{"running: WithAck", running, pathA, Frame{Kind: MigrateWithAck, Epoch: epoch1}, 0, RuleOrder, Running},
	{"running: no kind", running, pathA, Frame{Epoch: epoch1}, 0, RuleOrder, Running},

	{"paused: data of the old epoch", paused, pathA, data(epoch1, 1), Taken, 0, Paused},
	{"paused: a gap", paused, pathA, data(epoch1, 2), 0, RuleGap, Paused},
	{"paused: data by the target", paused, pathB, data(epoch2, 1), Taken, 0, Paused},
	{"paused: data by the target before older", paused, pathB, data(epoch2, 5), Taken, 0, Paused},
	{"paused: the old epoch by the target", paused, pathB, data(epoch1, 1), WrongPath, 0, Paused},
	{"paused: the new epoch by the previous", paused, pathA, data(epoch2, 1), WrongPath, 0, Paused},
	{"paused: the new epoch by a third path", paused, pathC, data(epoch2, 1), WrongPath, 0, Paused},
	{"paused: data of the past", paused, pathA, data(epoch1-1, 1), StaleEpoch, 0, Paused},
	{"paused: data of the future", paused, pathB, data(epoch3, 1), 0, RuleEpoch, Paused},
	{"paused: a bad receipt", paused, pathB, receipt(epoch2, 1), 0, RuleReceipt, Paused},
	{"paused: Migrate again", paused, pathB, migrate(epoch2), StaleEpoch, 0, Paused},
	{"paused: Migrate of the same epoch elsewhere", paused, pathC, migrate(epoch2), StaleEpoch, 0, Paused},
	{"paused: another Migrate", paused, pathC, migrate(epoch3), 0, RuleOrder, Paused},
	{"paused: Ack", paused, pathA, ack(epoch2), Taken, 0, Running},
	{"paused: Ack by the target", paused, pathB, ack(epoch2), 0, RuleOrder, Paused},
	{"paused: Ack by a third path", paused, pathC, ack(epoch2), 0, RuleOrder, Paused},
	{"paused: Ack of the past", paused, pathA, ack(epoch1), StaleEpoch, 0, Paused},
	{"paused: Ack of the future", paused, pathA, ack(epoch3), 0, RuleOrder, Paused},

	{"paused: Resume by the target", paused, pathB, resume(epoch3, 0), Taken, 0, Running},
	{"paused: Resume by the previous", paused, pathA, resume(epoch3, 0), Taken, 0, Running},
	{"paused: Resume by a third path", paused, pathC, resume(epoch3, 0), Taken, 0, Running},
	{"paused: Resume of the epoch to come", paused, pathC, resume(epoch2, 0), StaleEpoch, 0, Paused},
	{"paused: Resume of the epoch in force", paused, pathC, resume(epoch1, 0), StaleEpoch, 0, Paused},
	{"paused: Resume after what was never sent", paused, pathC, resume(epoch3, 1), 0, RuleRewind, Paused},
	{"paused: Open again", paused, pathC, Frame{Kind: Open, Epoch: epoch2}, StaleEpoch, 0, Paused},

	{"resumed: data", resumed, pathB, data(epoch3, 1), Taken, 0, Running},
	{"resumed: data by the old path", resumed, pathA, data(epoch3, 1), WrongPath, 0, Running},
	{"resumed: data of the handoff that it ended", resumed, pathB, data(epoch2, 1), StaleEpoch, 0, Running},
	{"resumed: data of the epoch before that", resumed, pathA, data(epoch1, 1), StaleEpoch, 0, Running},
	{"resumed: the Ack of the handoff", resumed, pathA, ack(epoch2), StaleEpoch, 0, Running},
	{"resumed: an Ack of its own", resumed, pathB, ack(epoch3), 0, RuleOrder, Running},
	{"resumed: Migrate of the handoff", resumed, pathC, migrate(epoch2), StaleEpoch, 0, Running},
	{"resumed: Resume again", resumed, pathA, resume(epoch3, 0), StaleEpoch, 0, Running},
	{"resumed: Migrate", resumed, pathA, migrate(epoch3 + 1), Taken, 0, Paused},

	{"moved: data", moved, pathB, data(epoch2, 1), Taken, 0, Running},
	{"moved: data by the previous", moved, pathA, data(epoch2, 1), WrongPath, 0, Running},
	{"moved: the old epoch", moved, pathA, data(epoch1, 1), StaleEpoch, 0, Running},
	{"moved: Ack again", moved, pathA, ack(epoch2), 0, RuleOrder, Running},
	{"moved: Migrate again", moved, pathB, migrate(epoch2), StaleEpoch, 0, Running},
	{"moved: Migrate back", moved, pathA, migrate(epoch3), Taken, 0, Paused},
}

// Every frame that matters in every state: what becomes of it, and the state after.
func TestResponderReceive(t *testing.T) {
	for _, c := range responderCases {
		t.Run(c.name, func(t *testing.T) {
			r := c.in(t)
			before := r.clone()
			verdict, err := r.Receive(c.path, c.frame)
			if verdict != c.verdict || r.State() != c.state {
				t.Errorf("%v, then %v; want %v, then %v", verdict, r.State(), c.verdict, c.state)
			}
			switch {
			case c.rule != 0:
				wantBreach(t, err, c.rule, before, r.clone())
			case err != nil:
				t.Error(err)
			case c.verdict != Taken:
				wantSame(t, before, r.clone())
			}
		})
	}
}

// The app pauses at Migrate, says MigrateWithAck by the previous path and goes on by the target.
func TestResponderMove(t *testing.T) {
	r := running(t)
	mustPush(t, &r.Outbox, small(1))
	mustTake(t, r, pathB, Frame{Kind: Migrate, Epoch: epoch2})
	if r.Target() != pathB || r.Epoch() != epoch1 || r.Path() != pathA {
		t.Errorf("target %d, epoch %v, path %d", r.Target(), r.Epoch(), r.Path())
	}
	mustTake(t, r, pathB, data(epoch2, 2))
	mustTake(t, r, pathA, data(epoch1, 1))
	if r.Inbox.Waiting() != 1 || r.Inbox.Held() != 1 {
		t.Errorf("%d wait, %d held", r.Inbox.Waiting(), r.Inbox.Held())
	}
	wantNext(t, r, pathB)
	wantNext(t, r, pathA, Frame{Kind: MigrateWithAck, Epoch: epoch2})
	mustTake(t, r, pathA, Frame{Kind: Ack, Epoch: epoch2})
	if r.Target() != 0 || r.Epoch() != epoch2 || r.Path() != pathB {
		t.Errorf("target %d, epoch %v, path %d", r.Target(), r.Epoch(), r.Path())
	}
	wantTakes(t, &r.Inbox, 2)
	wantNext(t, r, pathA)
	wantNext(t, r, pathB, receipt(epoch2, 0), data(epoch2, 1))
}

// A buffer whose beginning never came keeps the handoff open.
func TestResponderAckBeforeAllArrived(t *testing.T) {
	r := paused(t)
	mustTake(t, r, pathB, data(epoch2, 3))
	mustTake(t, r, pathA, data(epoch1, 1))
	before := r.clone()
	_, err := r.Receive(pathA, Frame{Kind: Ack, Epoch: epoch2})
	wantBreach(t, err, RuleGap, before, r.clone())
	mustTake(t, r, pathA, data(epoch1, 2))
	mustTake(t, r, pathA, Frame{Kind: Ack, Epoch: epoch2})
	wantTakes(t, &r.Inbox, 3)
}

// A receipt is a fact by whatever path and of whatever past epoch it comes, alone or on dropped data.
func TestResponderTakesReceiptsFromAnywhere(t *testing.T) {
	for _, c := range []struct {
		name  string
		path  Path
		frame Frame
	}{
		{"the target", pathB, receipt(epoch2, 1)},
		{"the previous path", pathA, receipt(epoch1, 1)},
		{"a third path", pathC, receipt(epoch1, 1)},
		{"the past", pathA, receipt(epoch1-1, 1)},
		{"stale data", pathA, withReceipt(data(epoch1-1, 1), 1)},
		{"data by the wrong path", pathC, withReceipt(data(epoch2, 1), 1)},
		{"buffered data", pathB, withReceipt(data(epoch2, 1), 1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := running(t)
			mustPush(t, &r.Outbox, small(1))
			wantNext(t, r, pathA, data(epoch1, 1))
			mustTake(t, r, pathB, Frame{Kind: Migrate, Epoch: epoch2})
			if _, err := r.Receive(c.path, c.frame); err != nil || r.Outbox.Acked() != 1 {
				t.Errorf("acked %d, %v; want 1", r.Outbox.Acked(), err)
			}
			if r.State() != Paused || r.Inbox.Received() != 0 {
				t.Errorf("%v, received %d", r.State(), r.Inbox.Received())
			}
		})
	}
}

func TestResponderDuplicate(t *testing.T) {
	r := paused(t)
	mustTake(t, r, pathA, data(epoch1, 1))
	mustTake(t, r, pathB, data(epoch2, 2))
	for _, c := range []struct {
		path  Path
		frame Frame
	}{
		{pathA, data(epoch1, 1)},
		{pathB, data(epoch2, 2)},
		{pathB, data(epoch2, 1)},
	} {
		before := r.clone()
		if v, err := r.Receive(c.path, c.frame); v != Duplicate || err != nil {
			t.Errorf("%s: %v, %v; want Duplicate", describeFrame(c.frame), v, err)
		}
		wantSame(t, before, r.clone())
	}
}

func TestResponderUses(t *testing.T) {
	for _, c := range []struct {
		name string
		in   func(*testing.T) *Responder
		want [3]bool
	}{
		{"running", running, [3]bool{true, false, false}},
		{"paused", paused, [3]bool{true, true, false}},
		{"moved", moved, [3]bool{false, true, false}},
		{"resumed", resumed, [3]bool{false, true, false}},
	} {
		r := c.in(t)
		if got := [3]bool{r.Uses(pathA), r.Uses(pathB), r.Uses(pathC)}; got != c.want {
			t.Errorf("%s: uses %v, want %v", c.name, got, c.want)
		}
	}
}
