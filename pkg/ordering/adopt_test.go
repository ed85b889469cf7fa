package ordering

import (
	"errors"
	"testing"
)

// adopting asks for the connection via A, for a client with the token of generation 1 that has received two messages and
// consumed one.
func adopting(*testing.T) *Initiator { return NewAdopter(pathA, testWindow, 1, 0, 2, 1) }

// adoptingAgain gave that up and asks via B.
func adoptingAgain(t *testing.T) *Initiator {
	i := adopting(t)
	mustResume(t, i, pathB)
	return i
}

func parkedAdopting(t *testing.T) *Initiator {
	i := adopting(t)
	i.Park()
	return i
}

// adopted has the connection of which the app has received three messages and consumed two; the third counts 100 bytes.
func adopted(t *testing.T) *Initiator {
	i := adopting(t)
	wantNext(t, i, pathA, adopt(second, 1, 2, 1))
	mustTake(t, i, pathA, adoptAnswer(second))
	return i
}

func dismissed(t *testing.T) *Initiator {
	i := adopted(t)
	mustTake(t, i, pathA, refusal(second, 3, TakenOver))
	return i
}

// adoptAnswer is what answers an Adopt of the epoch.
func adoptAnswer(epoch Epoch) Frame {
	return Frame{Kind: MigrateWithAck, Epoch: epoch, Received: 3, Consumed: 2, Window: 2 * testWindow, Outstanding: 100}
}

var adopterCases = []initiatorCase{
	{"adopting: the answer", adopting, pathA, adoptAnswer(second), Taken, 0, Settled},
	{"adopting: the answer by another path", adopting, pathB, adoptAnswer(second), 0, RuleOrder, Adopting},
	{"adopting: an answer of the past", adopting, pathA, adoptAnswer(epoch1), StaleEpoch, 0, Adopting},
	{"adopting: an answer of the future", adopting, pathA, adoptAnswer(third), 0, RuleEpoch, Adopting},
	{"adopting: an answer that cannot be", adopting, pathA, withReceipt(adoptAnswer(second), 4), 0, RuleReceipt, Adopting},
	{"adopting: data first", adopting, pathA, data(second, 3), 0, RuleOrder, Adopting},
	{"adopting: a receipt first", adopting, pathA, receipt(second, 0), 0, RuleOrder, Adopting},
	{"adopting: data of the past", adopting, pathA, withReceipt(data(epoch1, 3), 7), StaleEpoch, 0, Adopting},
	{"adopting: Outrun", adopting, pathA, refusal(second, 5, Outrun), Taken, 0, Adopting},
	{"adopting: Outrun by less", adopting, pathA, refusal(second, 1, Outrun), Taken, 0, Dismissed},
	{"adopting: Replayed", adopting, pathA, refusal(second, 2, Replayed), Taken, 0, Dismissed},
	{"adopting: Impossible", adopting, pathA, refusal(second, 2, Impossible), Taken, 0, Dismissed},
	{"adopting: taken over", adopting, pathB, refusal(second, 3, TakenOver), Taken, 0, Dismissed},
	{"adopting: refused by another path", adopting, pathB, refusal(second, 2, Replayed), 0, RuleOrder, Adopting},
	{"adopting: refused in the past", adopting, pathA, refusal(epoch1, 2, Replayed), StaleEpoch, 0, Adopting},

	{"again: the late answer", adoptingAgain, pathA, adoptAnswer(second), StaleEpoch, 0, Adopting},
	{"again: the late refusal", adoptingAgain, pathA, refusal(second, 2, Outrun), StaleEpoch, 0, Adopting},
	{"again: the first was taken over, by the second", adoptingAgain, pathA, refusal(second, 3, TakenOver), StaleEpoch, 0, Adopting},
	{"again: the answer", adoptingAgain, pathB, adoptAnswer(third), Taken, 0, Settled},

	{"parked: the late answer", parkedAdopting, pathA, adoptAnswer(second), WrongPath, 0, Parked},
	{"parked: what follows it", parkedAdopting, pathA, withReceipt(data(second, 3), 4), WrongPath, 0, Parked},
	{"parked: the late refusal", parkedAdopting, pathA, refusal(second, 2, Outrun), WrongPath, 0, Parked},
	{"parked: taken over", parkedAdopting, pathA, refusal(second, 3, TakenOver), Taken, 0, Dismissed},

	{"adopted: data", adopted, pathA, data(second, 3), Taken, 0, Settled},
	{"adopted: a gap", adopted, pathA, data(second, 4), 0, RuleGap, Settled},
	{"adopted: a duplicate", adopted, pathA, data(second, 2), Duplicate, 0, Settled},
	{"adopted: a receipt for the rest", adopted, pathA, receipt(second, 3), Taken, 0, Settled},
	{"adopted: a receipt for what was never sent", adopted, pathA, receipt(second, 4), 0, RuleReceipt, Settled},
	{"adopted: taken over", adopted, pathA, refusal(second, 3, TakenOver), Taken, 0, Dismissed},
	{"adopted: taken over by its own generation", adopted, pathA, refusal(second, 2, TakenOver), 0, RuleOrder, Settled},
	{"adopted: refused", adopted, pathA, refusal(second, 3, Replayed), 0, RuleOrder, Settled},
	{"opened here: taken over while it is moved", migrating, pathA, refusal(epoch1, 2, TakenOver), Taken, 0, Dismissed},

	{"dismissed: data", dismissed, pathA, data(second, 3), WrongPath, 0, Dismissed},
	{"dismissed: the answer", dismissed, pathA, adoptAnswer(second), WrongPath, 0, Dismissed},
	{"dismissed: refused", dismissed, pathA, refusal(second, 3, Replayed), WrongPath, 0, Dismissed},
}

// Every frame that matters to an end that adopts: what becomes of it, and the state after.
func TestAdopterReceive(t *testing.T) {
	for _, c := range adopterCases {
		t.Run(c.name, func(t *testing.T) { c.run(t) })
	}
}

// The Adopt says where the client is and which token it has, each time with a generation that was not asked for before.
func TestAdopterAsks(t *testing.T) {
	for _, c := range []struct {
		name          string
		token, newest uint32
		want          Epoch
	}{
		{"nothing is known", 1, 0, second},
		{"an older generation is known", 4, 2, FirstOf(5)},
		{"a newer generation is known", 2, 4, FirstOf(5)},
	} {
		i := NewAdopter(pathA, testWindow, c.token, c.newest, 2, 1)
		mustPush(t, &i.Outbox, small(1))
		if i.State() != Adopting || i.Epoch() != c.want || !i.Uses(pathA) || !i.Ready(pathA) {
			t.Errorf("%s: %v at %v", c.name, i.State(), i.Epoch())
		}
		wantNext(t, i, pathA, adopt(c.want, c.token, 2, 1))
		mustTake(t, i, pathA, refusal(c.want, 8, Outrun))
		wantNext(t, i, pathA, adopt(FirstOf(9), c.token, 2, 1))
		mustResume(t, i, pathB)
		wantNext(t, i, pathA)
		wantNext(t, i, pathB, adopt(FirstOf(10), c.token, 2, 1))
	}
}

// From the answer on the end is as one that had the connection from the start.
func TestAdopterGoesOn(t *testing.T) {
	i := adopted(t)
	if i.Outbox.Pushed() != 3 || i.Outbox.Acked() != 2 || i.Outbox.Bytes() != 100 || i.Outbox.window != 2*testWindow {
		t.Errorf("pushed %d, acked %d, %d bytes of %d", i.Outbox.Pushed(), i.Outbox.Acked(), i.Outbox.Bytes(), i.Outbox.window)
	}
	mustPush(t, &i.Outbox, small(4))
	wantNext(t, i, pathA, data(second, 4))
	i.Welcome()
	welcomed := receipt(second, 1)
	welcomed.Welcomed = true
	wantNext(t, i, pathA, welcomed)
	i.Welcome()
	wantNext(t, i, pathA)
	mustResume(t, i, pathB)
	wantNext(t, i, pathB, resume(second.NextMove(), 2))
	mustTake(t, i, pathB, answer(second.NextMove(), 3))
	welcomed.Epoch = second.NextMove()
	wantNext(t, i, pathB, welcomed, data(second.NextMove(), 4))
}

// An end that is dismissed sends nothing, uses nothing and is not brought back.
func TestAdopterIsDismissed(t *testing.T) {
	i := dismissed(t)
	i.Park()
	if err := i.Resume(pathB); !errors.Is(err, ErrNotMovable) {
		t.Errorf("resume: %v", err)
	}
	if err := i.Migrate(pathB); !errors.Is(err, ErrNotMovable) {
		t.Errorf("migrate: %v", err)
	}
	if i.State() != Dismissed || i.Refusal() != TakenOver || i.Path() != 0 || i.Uses(pathA) {
		t.Errorf("%v (%v) on %d", i.State(), i.Refusal(), i.Path())
	}
	mustPush(t, &i.Outbox, small(4))
	for _, path := range []Path{0, pathA, pathB} {
		wantNext(t, i, path)
	}
	if i := opening(t); i.Refusal() != 0 || i.Welcomed() {
		t.Errorf("a new end: refused with %v, welcomed: %v", i.Refusal(), i.Welcomed())
	}
}

// What the answer to an Adopt says is bounded: this end retains and takes as much as it names.
func TestAdopterRefusesAnswersThatCannotBe(t *testing.T) {
	for name, c := range map[string]struct {
		f    Frame
		rule Rule
	}{
		"more consumed than received": {Frame{Received: 1, Consumed: 2}, RuleReceipt},
		"the last number":             {Frame{Received: 1<<64 - 1}, RuleRewind},
		"a window of 4 GiB":           {Frame{Window: 1<<32 - 1}, RuleWindow},
		"4 GiB outstanding":           {Frame{Received: 9, Outstanding: 1<<32 - 1}, RuleWindow},
		"outrun by the last one":      {Frame{Kind: Refuse, Refusal: Outrun, Generation: 1<<32 - 1}, RuleEpoch},
	} {
		t.Run(name, func(t *testing.T) {
			i := adopting(t)
			if c.f.Epoch = second; c.f.Kind == 0 {
				c.f.Kind = MigrateWithAck
			}
			before := i.clone()
			_, err := i.Receive(pathA, c.f)
			wantBreach(t, err, c.rule, before, i.clone())
		})
	}
}
