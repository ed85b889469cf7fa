package ordering

import "testing"

// appSentThree has sent the messages 1 to 3, of which the first was acknowledged; then it was paused with a fourth. It has
// received the message 1, consumed it and said so, and holds the messages 2 and 3.
func appSentThree(t *testing.T) *Responder {
	r := running(t)
	mustPush(t, &r.Outbox, small(1), small(2), small(3))
	for range 3 {
		r.Next(pathA)
	}
	mustTake(t, r, pathA, withReceipt(data(epoch1, 1), 1))
	r.Inbox.Take()
	r.Inbox.Consume()
	wantNext(t, r, pathA, receipt(epoch1, 1))
	mustTake(t, r, pathB, Frame{Kind: Migrate, Epoch: epoch2})
	mustPush(t, &r.Outbox, small(4))
	mustTake(t, r, pathB, data(epoch2, 2))
	mustTake(t, r, pathB, data(epoch2, 3))
	return r
}

// The app answers a resume with what it has received without the buffer, and replays.
func TestResponderReplays(t *testing.T) {
	for received := uint64(1); received <= 3; received++ {
		for _, path := range []Path{pathA, pathB, pathC} {
			r := appSentThree(t)
			mustTake(t, r, path, resume(epoch3, received))
			want := []Frame{answer(epoch3, 1), receipt(epoch3, 1)}
			for seq := received + 1; seq <= 4; seq++ {
				want = append(want, data(epoch3, seq))
			}
			wantNext(t, r, path, want...)
			for _, other := range []Path{pathA, pathB, pathC} {
				wantNext(t, r, other)
			}
			if r.Outbox.Acked() != 1 || r.Inbox.Held() != 0 || r.Inbox.Bytes() != 0 || r.Target() != 0 {
				t.Errorf("acked %d, %d held, %d bytes, target %d", r.Outbox.Acked(), r.Inbox.Held(), r.Inbox.Bytes(), r.Target())
			}
			mustTake(t, r, path, data(epoch3, 2))
			mustTake(t, r, path, data(epoch3, 3))
		}
	}
}

func TestResponderRefusesToReplay(t *testing.T) {
	for _, c := range []struct {
		name string
		f    Frame
		rule Rule
	}{
		{"the future", resume(epoch3, 4), RuleRewind},
		{"the far future", resume(epoch3, 1<<63), RuleRewind},
		{"before what was acknowledged", resume(epoch3, 0), RuleRewind},
		{"a receipt for the future", withReceipt(resume(epoch3, 2), 4), RuleReceipt},
		{"Open of what is known and acknowledged", Frame{Kind: Open, Epoch: epoch3}, RuleRewind},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := appSentThree(t)
			before := r.clone()
			_, err := r.Receive(pathC, c.f)
			wantBreach(t, err, c.rule, before, r.clone())
		})
	}
}

// A peer that repeats itself a thousand times moves nothing.
func TestRepeatedHandshakesChangeNothing(t *testing.T) {
	for _, c := range []struct {
		name string
		in   func(*testing.T) *Responder
		f    Frame
	}{
		{"Migrate", paused, migrate(epoch2)},
		{"Resume", resumed, resume(epoch3, 0)},
		{"Resume after the future", resumed, resume(epoch3, 7)},
		{"Open", running, Frame{Kind: Open, Epoch: epoch1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := c.in(t)
			before := r.clone()
			for n := range 1000 {
				path := []Path{pathA, pathB, pathC}[n%3]
				if v, err := r.Receive(path, c.f); v != StaleEpoch || err != nil {
					t.Fatalf("time %d: %v, %v; want StaleEpoch", n, v, err)
				}
			}
			wantSame(t, before, r.clone())
		})
	}
}

// One that does so with ever higher epochs gets one answer, the last, and no more memory.
func TestRepeatedResumesKeepOneAnswer(t *testing.T) {
	r := running(t)
	epoch := epoch1
	for n := range 1000 {
		epoch = epoch.NextMove()
		mustTake(t, r, []Path{pathA, pathB, pathC}[n%3], resume(epoch, 0))
	}
	if len(r.control) != 1 {
		t.Errorf("%d handshake frames wait, want one", len(r.control))
	}
	wantNext(t, r, r.Path(), answer(epoch, 0))
}

// A window binds a replay as it bound the messages at first.
func TestReplayPastTheWindowIsRefused(t *testing.T) {
	i, r := settled(t), running(t)
	mustResume(t, i, pathB)
	mustTake(t, i, pathB, answer(epoch2, 0))
	mustTake(t, r, pathB, resume(epoch2, 0))
	for _, c := range []struct {
		end   anyEnd
		clone func() any
	}{
		{i, func() any { return i.clone() }},
		{r, func() any { return r.clone() }},
	} {
		f := data(epoch2, 1)
		f.Message = sized(testWindow - 2*MessageOverhead)
		mustTake(t, c.end, pathB, f)
		mustTake(t, c.end, pathB, Frame{Kind: Data, Epoch: epoch2, Seq: 2, Message: sized(0)})
		before := c.clone()
		_, err := c.end.Receive(pathB, Frame{Kind: Data, Epoch: epoch2, Seq: 3, Message: sized(0)})
		wantBreach(t, err, RuleWindow, before, c.clone())
	}
}
