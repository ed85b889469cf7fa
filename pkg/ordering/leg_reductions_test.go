package ordering

import "testing"

// The explorer takes stale frames out of flight. Here it does not; the worlds that it reaches are then reduced to what it would have
// made of them, and must be the same worlds.
func TestLegReductionsLoseNothing(t *testing.T) {
	for _, p := range []legPlan{
		{name: "up", up: ups(1), joins: 1, paths: 2, window: wideWindow},
		{name: "down", down: downs(1), joins: 1, paths: 2, window: wideWindow},
		{name: "timeout", up: ups(1), joins: 1, timeouts: 1, paths: 2, window: wideWindow},
		{name: "move", down: downs(1), joins: 1, moves: 1, paths: 3, window: wideWindow},
		{name: "path and link", linkCuts: 1, pathCuts: 1, paths: 2, window: wideWindow},
	} {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			exact := p
			exact.exact = true
			want, n := reachedLeg(t, &p, p)
			got, m := reachedLeg(t, &p, exact)
			t.Logf("%d worlds, with stale frames kept: %d", n, m)
			wantSameWorlds(t, want, got)
		})
	}
}

// reachedLeg is to plans of the whole chain what reached is to others.
func reachedLeg(t *testing.T, reduced *legPlan, full legPlan) (map[fingerprint]bool, int) {
	t.Helper()
	found := make(map[fingerprint]bool)
	x := &explorer[legWorld, *legWorld]{visit: func(w *legWorld) {
		c := *w
		c.plan = reduced
		c.dropStale()
		c.forgetLinks()
		key, _ := c.fingerprint(nil)
		found[key] = true
	}}
	if err := x.explore(newLegWorld(&full), full.steps()); err != nil {
		t.Fatal(err)
	}
	return found, len(x.nodes)
}
