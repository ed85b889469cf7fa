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
