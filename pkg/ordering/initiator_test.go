package ordering

import (
	"errors"
	"testing"
)

func withAck(epoch Epoch) Frame { return Frame{Kind: MigrateWithAck, Epoch: epoch} }

// initiatorCase is a frame in a state, what becomes of it, and the state after.
type initiatorCase struct {
	name    string
	in      func(*testing.T) *Initiator
	path    Path
	frame   Frame
	verdict Verdict
	rule    Rule
	state   InitiatorState
}

var initiatorCases = []initiatorCase{
	{"opening: data settles", opening, pathA, data(epoch1, 1), Taken, 0, Settled},
	{"opening: a receipt settles", opening, pathA, receipt(epoch1, 0), Taken, 0, Settled},
	{"opening: data by another path", opening, pathB, data(epoch1, 1), WrongPath, 0, Opening},
	{"opening: a gap", opening, pathA, data(epoch1, 2), 0, RuleGap, Opening},
	{"opening: WithAck", opening, pathA, withAck(epoch1), 0, RuleOrder, Opening},

	{"settled: data", settled, pathA, data(epoch1, 1), Taken, 0, Settled},
	{"settled: a gap", settled, pathA, data(epoch1, 2), 0, RuleGap, Settled},
	{"settled: data by another path", settled, pathB, data(epoch1, 1), WrongPath, 0, Settled},
	{"settled: data of the past", settled, pathA, data(epoch1-1, 1), StaleEpoch, 0, Settled},
	{"settled: data of the future", settled, pathA, data(epoch2, 1), 0, RuleEpoch, Settled},
	{"settled: a receipt of the future", settled, pathA, receipt(epoch2, 0), 0, RuleEpoch, Settled},
	{"settled: a receipt for what was never sent", settled, pathA, receipt(epoch1, 1), 0, RuleReceipt, Settled},
	{"settled: one by another path", settled, pathB, receipt(epoch1, 1), 0, RuleReceipt, Settled},
	{"settled: one that rides", settled, pathA, withReceipt(data(epoch1, 1), 1), 0, RuleReceipt, Settled},
	{"settled: WithAck", settled, pathA, withAck(epoch1), 0, RuleOrder, Settled},
	{"settled: WithAck of the past", settled, pathA, withAck(epoch1 - 1), StaleEpoch, 0, Settled},
	{"settled: WithAck of the future", settled, pathA, withAck(epoch2), 0, RuleEpoch, Settled},
	{"settled: Open", settled, pathA, Frame{Kind: Open, Epoch: epoch1}, 0, RuleOrder, Settled},
	{"settled: Migrate", settled, pathB, Frame{Kind: Migrate, Epoch: epoch1}, 0, RuleOrder, Settled},
	{"settled: Ack", settled, pathA, Frame{Kind: Ack, Epoch: epoch1}, 0, RuleOrder, Settled},
	{"settled: no kind", settled, pathA, Frame{Epoch: epoch1}, 0, RuleOrder, Settled},

	{"migrating: data of the old epoch", migrating, pathA, data(epoch1, 1), Taken, 0, Migrating},
	{"migrating: a gap", migrating, pathA, data(epoch1, 2), 0, RuleGap, Migrating},
	{"migrating: the old epoch by the target", migrating, pathB, data(epoch1, 1), WrongPath, 0, Migrating},
	{"migrating: the new epoch before WithAck", migrating, pathB, data(epoch2, 1), 0, RuleOrder, Migrating},
	{"migrating: the new epoch by the previous", migrating, pathA, data(epoch2, 1), 0, RuleOrder, Migrating},
	{"migrating: a receipt does not confirm", migrating, pathB, receipt(epoch2, 0), Taken, 0, Migrating},
	{"migrating: WithAck", migrating, pathA, withAck(epoch2), Taken, 0, Confirming},
	{"migrating: WithAck by the target", migrating, pathB, withAck(epoch2), 0, RuleOrder, Migrating},
	{"migrating: WithAck by a third path", migrating, pathC, withAck(epoch2), 0, RuleOrder, Migrating},
	{"migrating: WithAck of the past", migrating, pathA, withAck(epoch1), StaleEpoch, 0, Migrating},
	{"migrating: WithAck of the future", migrating, pathA, withAck(epoch3), 0, RuleEpoch, Migrating},

	{"confirming: data of the new epoch", confirming, pathB, data(epoch2, 1), Taken, 0, Confirming},
	{"confirming: a gap", confirming, pathB, data(epoch2, 2), 0, RuleGap, Confirming},
	{"confirming: the new epoch by the previous", confirming, pathA, data(epoch2, 1), WrongPath, 0, Confirming},
	{"confirming: the old epoch", confirming, pathA, data(epoch1, 1), StaleEpoch, 0, Confirming},
	{"confirming: the receipt settles", confirming, pathB, receipt(epoch2, 0), Taken, 0, Settled},
	{"confirming: a receipt by the previous does not", confirming, pathA, receipt(epoch2, 0), Taken, 0, Confirming},
	{"confirming: nor one of the old epoch", confirming, pathA, receipt(epoch1, 0), Taken, 0, Confirming},
	{"confirming: a bad receipt", confirming, pathB, receipt(epoch2, 1), 0, RuleReceipt, Confirming},
	{"confirming: WithAck again", confirming, pathA, withAck(epoch2), 0, RuleOrder, Confirming},

	{"parked: data", parked, pathA, data(epoch1, 1), WrongPath, 0, Parked},
	{"parked: data of the past", parked, pathA, data(epoch1-1, 1), StaleEpoch, 0, Parked},
	{"parked: data of the future", parked, pathA, data(epoch2, 1), 0, RuleEpoch, Parked},
	{"parked: a receipt does not settle", parked, pathA, receipt(epoch1, 0), Taken, 0, Parked},
	{"parked: a bad receipt", parked, pathA, receipt(epoch1, 1), 0, RuleReceipt, Parked},
	{"parked: a late WithAck", parked, pathA, withAck(epoch1), WrongPath, 0, Parked},
	{"parked: Open", parked, pathA, Frame{Kind: Open, Epoch: epoch1}, 0, RuleOrder, Parked},
	{"parked: Resume", parked, pathA, resume(epoch1, 0), 0, RuleOrder, Parked},
	{"parked before it was opened: data", parkedOpening, pathA, data(epoch1, 1), WrongPath, 0, Parked},
	{"parked before it was opened: a receipt", parkedOpening, pathA, receipt(epoch1, 0), Taken, 0, Parked},

	{"resuming: the answer settles", resuming, pathB, answer(epoch2, 0), Taken, 0, Settled},
	{"resuming: the answer by the old path", resuming, pathA, answer(epoch2, 0), 0, RuleOrder, Resuming},
	{"resuming: the answer by a third path", resuming, pathC, answer(epoch2, 0), 0, RuleOrder, Resuming},
	{"resuming: an answer of the past", resuming, pathB, answer(epoch1, 0), StaleEpoch, 0, Resuming},
	{"resuming: an answer of the future", resuming, pathB, answer(epoch3, 0), 0, RuleEpoch, Resuming},
	{"resuming: received what was never sent", resuming, pathB, answer(epoch2, 1), 0, RuleRewind, Resuming},
	{"resuming: an answer with a bad receipt", resuming, pathB, withReceipt(answer(epoch2, 0), 1), 0, RuleReceipt, Resuming},
	{"resuming: data before the answer", resuming, pathB, data(epoch2, 1), 0, RuleOrder, Resuming},
	{"resuming: a receipt before the answer", resuming, pathB, receipt(epoch2, 0), 0, RuleOrder, Resuming},
	{"resuming: data of the old epoch", resuming, pathA, data(epoch1, 1), StaleEpoch, 0, Resuming},
	{"resuming: the new epoch by the old path", resuming, pathA, data(epoch2, 1), WrongPath, 0, Resuming},
	{"resuming: a late receipt", resuming, pathA, receipt(epoch1, 0), Taken, 0, Resuming},

	{"reopening: a receipt settles", reopening, pathB, receipt(epoch2, 0), Taken, 0, Settled},
	{"reopening: the answer settles", reopening, pathB, answer(epoch2, 0), Taken, 0, Settled},
	{"reopening: a receipt by the old path does not", reopening, pathA, receipt(epoch1, 0), Taken, 0, Reopening},
	{"reopening: a receipt that says something", reopening, pathB, receipt(epoch2, 1), 0, RuleReceipt, Reopening},
	{"reopening: data first", reopening, pathB, data(epoch2, 1), 0, RuleOrder, Reopening},
	{"reopening: received what was never sent", reopening, pathB, answer(epoch2, 1), 0, RuleRewind, Reopening},
	{"reopening: the answer by the old path", reopening, pathA, answer(epoch2, 0), 0, RuleOrder, Reopening},
}

// Every frame that matters in every state: what becomes of it, and the state after.
func TestInitiatorReceive(t *testing.T) {
	for _, c := range initiatorCases {
		t.Run(c.name, func(t *testing.T) { c.run(t) })
	}
}

func (c initiatorCase) run(t *testing.T) {
	i := c.in(t)
	before := i.clone()
	verdict, err := i.Receive(c.path, c.frame)
	if verdict != c.verdict || i.State() != c.state {
		t.Errorf("%v, then %v; want %v, then %v", verdict, i.State(), c.verdict, c.state)
	}
	switch {
	case c.rule != 0:
		wantBreach(t, err, c.rule, before, i.clone())
	case err != nil:
		t.Error(err)
	case c.verdict != Taken:
		wantSame(t, before, i.clone())
	}
}

func TestInitiatorMigrate(t *testing.T) {
	for _, c := range []struct {
		name   string
		in     func(*testing.T) *Initiator
		target Path
		want   error
	}{
		{"another path", settled, pathB, nil},
		{"the same path", settled, pathA, ErrNotMovable},
		{"no path", settled, 0, ErrNotMovable},
		{"opening", opening, pathB, ErrNotMovable},
		{"migrating to the same", migrating, pathB, ErrNotMovable},
		{"migrating back", migrating, pathA, ErrNotMovable},
		{"migrating to a third", migrating, pathC, ErrNotMovable},
		{"confirming", confirming, pathC, ErrNotMovable},
		{"parked", parked, pathB, ErrNotMovable},
		{"resuming", resuming, pathC, ErrNotMovable},
		{"reopening", reopening, pathC, ErrNotMovable},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := c.in(t)
			before := i.clone()
			if err := i.Migrate(c.target); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if c.want != nil {
				wantSame(t, before, i.clone())
				return
			}
			if i.State() != Migrating || i.Epoch() != epoch2 || i.Path() != pathB || i.Previous() != pathA {
				t.Errorf("%v of epoch %v from %d to %d", i.State(), i.Epoch(), i.Previous(), i.Path())
			}
		})
	}
}

// Each barrier is sent by its path once, and messages follow Migrate by the target.
func TestInitiatorMove(t *testing.T) {
	i := settled(t)
	mustPush(t, &i.Outbox, small(1), small(2))
	if f, ok := i.Next(pathA); !ok || f.Seq != 1 {
		t.Fatalf("next: %s, %v", describeFrame(f), ok)
	}
	if err := i.Migrate(pathB); err != nil {
		t.Fatal(err)
	}
	wantNext(t, i, pathA)
	wantNext(t, i, pathC)
	wantNext(t, i, pathB, Frame{Kind: Migrate, Epoch: epoch2}, data(epoch2, 2))
	mustTake(t, i, pathA, Frame{Kind: MigrateWithAck, Epoch: epoch2})
	wantNext(t, i, pathB)
	wantNext(t, i, pathA, Frame{Kind: Ack, Epoch: epoch2})
	mustTake(t, i, pathB, receipt(epoch2, 2))
	if i.State() != Settled || i.Previous() != 0 || i.Outbox.Acked() != 2 {
		t.Errorf("%v, previous %d, acked %d", i.State(), i.Previous(), i.Outbox.Acked())
	}
}

// A receipt is a fact by whatever path and of whatever past epoch it comes, alone or on dropped data.
func TestInitiatorTakesReceiptsFromAnywhere(t *testing.T) {
	for _, c := range []struct {
		name  string
		path  Path
		frame Frame
		acked uint64
	}{
		{"the target", pathB, receipt(epoch2, 2), 2},
		{"the previous path", pathA, receipt(epoch2, 2), 2},
		{"the old epoch", pathA, receipt(epoch1, 1), 1},
		{"a third path", pathC, receipt(epoch1, 1), 1},
		{"stale data", pathA, withReceipt(data(epoch1, 1), 1), 1},
		{"data by the wrong path", pathA, withReceipt(data(epoch2, 1), 2), 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := confirming(t)
			mustPush(t, &i.Outbox, small(1), small(2))
			for range 3 {
				i.Next(pathB)
			}
			if _, err := i.Receive(c.path, c.frame); err != nil || i.Outbox.Acked() != c.acked {
				t.Errorf("acked %d, %v; want %d", i.Outbox.Acked(), err, c.acked)
			}
			if i.Inbox.Received() != 0 {
				t.Errorf("received %d messages that had to be dropped", i.Inbox.Received())
			}
		})
	}
}

func TestInitiatorDuplicate(t *testing.T) {
	i := settled(t)
	mustPush(t, &i.Outbox, small(1))
	i.Next(pathA)
	mustTake(t, i, pathA, data(epoch1, 1))
	if v, err := i.Receive(pathA, withReceipt(data(epoch1, 1), 1)); v != Duplicate || err != nil {
		t.Errorf("%v, %v; want Duplicate", v, err)
	}
	if i.Inbox.Waiting() != 1 || i.Outbox.Acked() != 1 {
		t.Errorf("%d messages wait, acked %d: want one, and the receipt taken", i.Inbox.Waiting(), i.Outbox.Acked())
	}
}

func TestInitiatorUses(t *testing.T) {
	for _, c := range []struct {
		name string
		in   func(*testing.T) *Initiator
		want [3]bool
	}{
		{"opening", opening, [3]bool{true, false, false}},
		{"settled", settled, [3]bool{true, false, false}},
		{"migrating", migrating, [3]bool{true, true, false}},
		{"confirming", confirming, [3]bool{true, true, false}},
		{"parked", parked, [3]bool{}},
		{"resuming", resuming, [3]bool{false, true, false}},
		{"reopening", reopening, [3]bool{false, true, false}},
	} {
		i := c.in(t)
		if i.Uses(0) {
			t.Errorf("%s: uses no path", c.name)
		}
		if got := [3]bool{i.Uses(pathA), i.Uses(pathB), i.Uses(pathC)}; got != c.want {
			t.Errorf("%s: uses %v, want %v", c.name, got, c.want)
		}
	}
}
