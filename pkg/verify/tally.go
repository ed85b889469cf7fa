package verify

import "fmt"

// Tally counts the faults of one direction. The zero Tally is a kept guarantee.
type Tally struct {
	Lost      uint64 `json:"lost"`
	Doubled   uint64 `json:"doubled"`
	Reordered uint64 `json:"reordered"`
	Corrupted uint64 `json:"corrupted"`
}

// Clean reports whether there was no fault.
func (t Tally) Clean() bool { return t == Tally{} }

// Plus adds two tallies.
func (t Tally) Plus(o Tally) Tally {
	return Tally{t.Lost + o.Lost, t.Doubled + o.Doubled, t.Reordered + o.Reordered, t.Corrupted + o.Corrupted}
}

// Beyond leaves of t what o does not explain: a message lost on the way up has no echo either, and is one
// fault, not two.
func (t Tally) Beyond(o Tally) Tally {
	return Tally{
		beyond(t.Lost, o.Lost), beyond(t.Doubled, o.Doubled),
		beyond(t.Reordered, o.Reordered), beyond(t.Corrupted, o.Corrupted),
	}
}

func beyond(a, b uint64) uint64 {
	if a < b {
		return 0
	}
	return a - b
}

// String returns the tally as "lost=0 doubled=0 reordered=0 corrupted=0".
func (t Tally) String() string {
	return fmt.Sprintf("lost=%d doubled=%d reordered=%d corrupted=%d", t.Lost, t.Doubled, t.Reordered, t.Corrupted)
}
