package ordering

import "testing"

// The explorer merges worlds that differ only in which wire is which, and takes stale frames out of flight. Here it does
// neither; the worlds that it reaches are then reduced to what it would have made of them, and must be the same worlds.
func TestReductionsLoseNothing(t *testing.T) {
	for _, p := range []plan{
		{name: "loss", messages: both(1, 0), moves: 1, cuts: 1, timeouts: 1, window: wideWindow},
		{name: "answers", messages: both(0, 1), cuts: 2, timeouts: 1, window: wideWindow, lazy: true},
		{name: "forget", messages: both(0, 0, Close), cuts: 1, timeouts: 1, window: tightWindow, forget: true},
	} {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			want, n := reached(t, &p, p)
			t.Logf("%d worlds", n)
			apart, exact := p, p
			apart.apart, exact.exact = true, true
			for _, full := range []plan{apart, exact} {
				got, n := reached(t, &p, full)
				t.Logf("%d worlds with wires told apart: %v, with stale frames kept: %v", n, full.apart, full.exact)
				wantSameWorlds(t, want, got)
			}
		})
	}
}

// reached explores the full plan and returns what its worlds are in the reduced plan, and how many there were.
func reached(t *testing.T, reduced *plan, full plan) (map[fingerprint]bool, int) {
	t.Helper()
	found := make(map[fingerprint]bool)
	x := &explorer[world, *world]{visit: func(w *world) {
		c := *w
		c.plan = reduced
		c.dropStale()
		key, _ := c.fingerprint(nil)
		found[key] = true
	}}
	if err := x.explore(newWorld(&full), full.steps()); err != nil {
		t.Fatal(err)
	}
	return found, len(x.nodes)
}

func wantSameWorlds(t *testing.T, want, got map[fingerprint]bool) {
	t.Helper()
	missing, extra := 0, 0
	for key := range want {
		if !got[key] {
			missing++
		}
	}
	for key := range got {
		if !want[key] {
			extra++
		}
	}
	if missing+extra > 0 {
		t.Errorf("of %d worlds %d were not reached, and %d others were", len(want), missing, extra)
	}
}
