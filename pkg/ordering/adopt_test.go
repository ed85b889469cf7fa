package ordering

import "testing"

// adopting asks for the connection via A, for a client with the token of generation 1 that has received two messages and
// consumed one.
func adopting(*testing.T) *Initiator { return NewAdopter(pathA, testWindow, 1, 0, 2, 1) }

// What answers an Adopt that was given up is late, and so is all that follows it: what it says is no breach, though this end
// has sent nothing yet as far as it knows.
func TestAdopterDropsLateAnswers(t *testing.T) {
	for _, c := range []struct {
		name string
		f    Frame
		want Verdict
	}{
		{"an answer", Frame{Kind: MigrateWithAck, Epoch: second, Received: 3, Consumed: 2}, WrongPath},
		{"a receipt", receipt(second, 2), WrongPath},
		{"a receipt that rides", withReceipt(data(second, 3), 2), WrongPath},
		{"a receipt of before", receipt(epoch1, 2), StaleEpoch},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := adopting(t)
			i.Park()
			for _, resume := range []func(){func() {}, func() { mustResume(t, i, pathB) }} {
				if resume(); i.State() == Adopting {
					c.want = StaleEpoch
				}
				before := i.clone()
				if v, err := i.Receive(pathA, c.f); v != c.want || err != nil {
					t.Errorf("%v: %v, %v; want %v", i.State(), v, err, c.want)
				}
				wantSame(t, before, i.clone())
			}
		})
	}
}
