package ordering

import "testing"

// takenOver begins where somebody else has sent the messages through 5, of which 3 were consumed and the others count 300 bytes.
func takenOver(ended MessageKind) *Outbox {
	o := newOutbox(testWindow)
	o.takeOver(3, 5, 300, ended)
	return o
}

// What each message counts that somebody else has sent is not known: until all are consumed none is acknowledged, or who sent them
// would take the rest for credit that there is not.
func TestOutboxTakenOverAcknowledgesTogether(t *testing.T) {
	o := takenOver(0)
	for _, c := range []struct {
		consumed, acked uint64
		bytes           int
	}{{0, 3, 300}, {3, 3, 300}, {4, 3, 300}, {5, 5, 0}, {4, 5, 0}} {
		if err := o.Acknowledge(c.consumed); err != nil || o.Acked() != c.acked || o.Bytes() != c.bytes {
			t.Errorf("receipt through %d: acked %d, %d bytes, %v; want %d, %d", c.consumed, o.Acked(), o.Bytes(), err, c.acked, c.bytes)
		}
	}
}
