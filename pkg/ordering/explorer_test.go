package ordering

import (
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"
)

// node is a world that was reached: by a step, from another node.
type node struct {
	parent int32
	step   uint8
}

// worldOf is what the explorer needs of a world.
type worldOf[W any] interface {
	*W
	// settle ends every step: it does what follows at once, and checks the world.
	settle() error
	// checkRest fails when a world in which only inputs can happen is not at rest, checkEnd when one in which nothing can happen
	// has not done its whole plan.
	checkRest() error
	checkEnd() error
	fingerprint(buf []byte) (fingerprint, []byte)
}

// explorer searches breadth first, so that the first violation that it finds is one of the shortest.
type explorer[W any, P worldOf[W]] struct {
	steps []stepOf[W]
	seen  map[fingerprint]struct{}
	nodes []node
	// frontier holds the worlds that were reached last, of the nodes from first on; next those after them.
	frontier, next []*W
	first          int32
	transitions    int
	ends           int
	// widest is the most worlds at the same number of steps, depth the most steps to a world.
	widest, depth int
	// scratch is the world that a step is tried on.
	scratch W
	buf     []byte
	// visit, when set, is called with every world as it is reached.
	visit func(*W)
}

// violation is a run that breaks the guarantee.
type violation struct {
	run []fmt.Stringer
	err error
}

func (v *violation) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "counterexample of %d steps:\n", len(v.run))
	for i, s := range v.run {
		fmt.Fprintf(&b, "%3d. %v\n", i+1, s)
	}
	fmt.Fprintf(&b, "violation: %v", v.err)
	return b.String()
}

// explore goes through all that can happen in the plan.
func explore(p *plan) (*explorer[world, *world], error) {
	x := &explorer[world, *world]{}
	return x, x.explore(newWorld(p), p.steps())
}

// explore takes every step in every order, from the world on.
func (x *explorer[W, P]) explore(from *W, steps []stepOf[W]) error {
	x.seen, x.steps, x.scratch = make(map[fingerprint]struct{}), steps, *from
	x.reach(node{})
	for len(x.next) > 0 {
		x.first += int32(len(x.frontier))
		x.frontier, x.next = x.next, nil
		x.widest, x.depth = max(x.widest, len(x.frontier)), x.depth+1
		for i, w := range x.frontier {
			if err := x.expand(w, x.first+int32(i)); err != nil {
				return err
			}
			x.frontier[i] = nil
		}
	}
	return nil
}

// reach adds the scratch world unless an equal one was reached before.
func (x *explorer[W, P]) reach(n node) {
	var key fingerprint
	key, x.buf = P(&x.scratch).fingerprint(x.buf)
	if _, ok := x.seen[key]; ok {
		return
	}
	x.seen[key] = struct{}{}
	x.nodes = append(x.nodes, n)
	w := x.scratch
	x.next = append(x.next, &w)
	if x.visit != nil {
		x.visit(&w)
	}
}

// expand takes every step that is possible in the world of the node.
func (x *explorer[W, P]) expand(w *W, id int32) error {
	rest, final := true, true
	for i, s := range x.steps {
		x.scratch = *w
		ok, err := x.try(s)
		if err != nil {
			return &violation{append(x.run(id), s), err}
		}
		if !ok {
			continue
		}
		x.transitions++
		rest, final = rest && s.input(), false
		x.reach(node{id, uint8(i)})
	}
	if rest {
		if err := P(w).checkRest(); err != nil {
			return &violation{x.run(id), err}
		}
	}
	if final {
		x.ends++
		if err := P(w).checkEnd(); err != nil {
			return &violation{x.run(id), err}
		}
	}
	return nil
}

// try takes the step in the scratch world. A panic is a violation like any other.
func (x *explorer[W, P]) try(s stepOf[W]) (ok bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	if ok, err = s.apply(&x.scratch); ok && err == nil {
		err = P(&x.scratch).settle()
	}
	return ok, err
}

// run returns the steps that lead to the node.
func (x *explorer[W, P]) run(id int32) []fmt.Stringer {
	var run []fmt.Stringer
	for ; id != 0; id = x.nodes[id].parent {
		run = append(run, x.steps[x.nodes[id].step])
	}
	slices.Reverse(run)
	return run
}

// TestExplorer is the proof: every interleaving of each plan keeps the guarantee.
func TestExplorer(t *testing.T) {
	if os.Getenv(mutantVariable) != "" {
		t.Skip("a mutant has a test of its own")
	}
	// The worlds are many and short-lived: trade memory for time.
	percent := debug.SetGCPercent(200)
	t.Cleanup(func() { debug.SetGCPercent(percent) })
	for _, p := range chosenPlans() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			x, err := explore(&p)
			t.Logf("%d states, %d transitions, %d ends in %v", len(x.nodes), x.transitions, x.ends, time.Since(start).Round(time.Millisecond))
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

// chosenPlans returns the deep plans when they are asked for, and else as many as the run has time for.
func chosenPlans() []plan {
	switch {
	case os.Getenv("HOLDFAST_EXPLORE") == "deep":
		return deepPlans
	case testing.Short() || raceEnabled:
		return reducedPlans
	}
	return slices.Concat(fullPlans, reducedPlans)
}
