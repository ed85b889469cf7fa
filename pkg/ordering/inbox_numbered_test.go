package ordering

import "testing"

// numbered has received the messages 4 to 6 for a client that has received the others before, and consumed the first two; of the
// three it has given out two.
func numbered(t *testing.T) *Inbox {
	in := newInbox(testWindow)
	in.numbered = true
	in.takeOver(3, 2)
	for seq := uint64(4); seq <= 6; seq++ {
		if fresh, err := in.accept(seq, sized(int(seq)*10)); !fresh || err != nil {
			t.Fatalf("message %d: %v, %v", seq, fresh, err)
		}
	}
	for want := uint64(4); want <= 5; want++ {
		if m, ok := in.Take(); !ok || len(m.Payload) != int(want)*10 || in.Taken() != want {
			t.Fatalf("took %s as message %d, want %d", describe(m), in.Taken(), want)
		}
	}
	return in
}

// Only what came by this inbox counts, each once it was consumed.
func TestInboxConsumeThrough(t *testing.T) {
	four, all := sized(40).Cost(), sized(40).Cost()+sized(50).Cost()+sized(60).Cost()
	for _, c := range []struct {
		name     string
		through  []uint64
		consumed uint64
		left     int
	}{
		{"what is old", []uint64{0, 1, 2}, 2, all},
		{"what was received before", []uint64{3}, 3, all},
		{"one by one", []uint64{3, 4}, 4, all - four},
		{"together", []uint64{5}, 5, sized(60).Cost()},
		{"together, and then what is old", []uint64{5, 3}, 5, sized(60).Cost()},
		{"twice the same", []uint64{4, 4}, 4, all - four},
		{"not in one step", []uint64{4, 5}, 5, sized(60).Cost()},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := numbered(t)
			for _, seq := range c.through {
				if _, err := in.ConsumeThrough(seq); err != nil {
					t.Fatal(err)
				}
				if err := in.check(); err != nil {
					t.Error(err)
				}
			}
			if in.Consumed() != c.consumed || in.Owes() != (c.consumed > 2) {
				t.Errorf("consumed %d, owes: %v; want %d", in.Consumed(), in.Owes(), c.consumed)
			}
			if said := in.receipt(); said != c.consumed || in.Bytes() != c.left {
				t.Errorf("said %d, %d bytes are left; want %d, %d", said, in.Bytes(), c.consumed, c.left)
			}
		})
	}
}

func TestInboxConsumeThroughWhatWasNotGivenOut(t *testing.T) {
	for _, seq := range []uint64{6, 7, 1 << 63} {
		in := numbered(t)
		before := in.clone()
		_, err := in.ConsumeThrough(seq)
		wantBreach(t, err, RuleReceipt, before, in.clone())
	}
}

// A receipt is due at once when half the window was consumed, and for the Close.
func TestInboxConsumeThroughIsDue(t *testing.T) {
	in := newInbox(2 * sized(40).Cost())
	in.numbered = true
	for seq, m := range []Message{sized(40), sized(0), {Kind: Close}} {
		if _, err := in.accept(uint64(seq)+1, m); err != nil {
			t.Fatal(err)
		}
		in.Take()
	}
	for seq, want := range []bool{true, true, true} {
		if due, err := in.ConsumeThrough(uint64(seq) + 1); due != want || err != nil {
			t.Errorf("through %d: due: %v, %v; want %v", seq+1, due, err, want)
		}
		if seq == 1 {
			in.receipt()
		}
	}
	if in.receipt(); in.Bytes() != 0 {
		t.Errorf("%d bytes are left", in.Bytes())
	}
}
