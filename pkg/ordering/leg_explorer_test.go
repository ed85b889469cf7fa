package ordering

import (
	"os"
	"runtime/debug"
	"slices"
	"testing"
	"time"
)

func exploreLeg(p *legPlan) (*explorer[legWorld, *legWorld], error) {
	x := &explorer[legWorld, *legWorld]{}
	return x, x.explore(newLegWorld(p), p.steps())
}

// TestLegExplorer is the proof for the whole chain: every interleaving of each plan keeps the guarantee.
func TestLegExplorer(t *testing.T) {
	if os.Getenv(mutantVariable) != "" {
		t.Skip("a mutant has a test of its own")
	}
	percent := debug.SetGCPercent(200)
	t.Cleanup(func() { debug.SetGCPercent(percent) })
	for _, p := range chosenLegPlans() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			x, err := exploreLeg(&p)
			took := time.Since(start).Round(time.Millisecond)
			t.Logf("%d states, %d transitions, %d ends in %v", len(x.nodes), x.transitions, x.ends, took)
			t.Logf("at most %d states at the same number of steps, %d steps deep", x.widest, x.depth)
			if err != nil {
				t.Fatal(err)
			}
			if len(x.nodes) < p.floor {
				t.Errorf("%d states, want at least %d: the plan lost some of its worlds", len(x.nodes), p.floor)
			}
		})
	}
}

// chosenLegPlans returns the deep plans when they are asked for, and else as many as the run has time for.
func chosenLegPlans() []legPlan {
	switch {
	case os.Getenv("HOLDFAST_EXPLORE") == "deep":
		return deepLegPlans
	case testing.Short() || raceEnabled:
		return reducedLegPlans
	}
	return slices.Concat(fullLegPlans, reducedLegPlans)
}
