package ordering

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// legSchedule is one long run of the whole chain.
type legSchedule struct {
	w     *legWorld
	steps []stepOf[legWorld]
	run   []fmt.Stringer
}

// newLegSchedule starts a run in which links are cut and joins are given up all the time. A server connection is cut once, or a relay
// dies; one path is left to the other.
func newLegSchedule(up, down []Message, window int, lazy, slow bool) *legSchedule {
	const often = 40
	p := &legPlan{
		up: up, down: down, window: window, lazy: lazy, slow: slow, exact: true, paths: wires,
		joins: often, abandons: often, linkCuts: often, pathCuts: 1, timeouts: often, moves: often,
	}
	return &legSchedule{w: newLegWorld(p), steps: p.steps()}
}

// try takes the step when it is possible.
func (s *legSchedule) try(next stepOf[legWorld]) (bool, error) {
	w := *s.w
	ok, err := next.apply(&w)
	if ok && err == nil {
		err = w.settle()
	}
	if err != nil {
		return false, &violation{append(s.run, next), err}
	}
	if ok {
		s.w, s.run = &w, append(s.run, next)
	}
	return ok, nil
}

// finish pushes the rest, lets all that is not an input happen, and checks that all was delivered.
func (s *legSchedule) finish() error {
	for moved := true; moved; {
		moved = false
		for _, next := range s.steps {
			if push := next.String() == "app push" || next.String() == "client 0 push"; next.input() && !push {
				continue
			}
			ok, err := s.try(next)
			if err != nil {
				return err
			}
			moved = moved || ok
		}
	}
	err := s.w.checkRest()
	if err == nil {
		err = s.w.checkEnd()
	}
	if err != nil {
		return &violation{s.run, err}
	}
	return nil
}

// TestRandomLegSchedules goes through long runs of the whole chain. HOLDFAST_SEED repeats one.
func TestRandomLegSchedules(t *testing.T) {
	runs, seed := 60, rand.Uint64()
	if testing.Short() || raceEnabled {
		runs = 6
	}
	if text := os.Getenv("HOLDFAST_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		runs, seed = 1, n
	}
	joins := 0
	for n := range runs {
		joins += randomLegSchedule(t, seed+uint64(n))
	}
	t.Logf("HOLDFAST_SEED=%d and %d after it: %d joins", seed, runs-1, joins)
}

// randomLegSchedule returns how many links there were.
func randomLegSchedule(t *testing.T, seed uint64) int {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 0))
	s := newLegSchedule(legMessages(r), legMessages(r), 200+r.IntN(2000), r.IntN(2) == 0, r.IntN(2) == 0)
	eager := 1 + r.IntN(20)
	for range 2000 {
		next := s.steps[r.IntN(len(s.steps))]
		if next.input() && r.IntN(eager) > 0 {
			continue
		}
		if _, err := s.try(next); err != nil {
			t.Fatalf("HOLDFAST_SEED=%d: %d steps, the last of which are\n%s", seed, len(s.run), lastSteps(err, 60))
		}
	}
	if err := s.finish(); err != nil {
		t.Fatalf("HOLDFAST_SEED=%d: %d steps, the last of which are\n%s", seed, len(s.run), lastSteps(err, 60))
	}
	return int(s.w.lastLink)
}

// legMessages makes some messages of different sizes, one of which may pass the window, with a Close after them or without.
func legMessages(r *rand.Rand) []Message {
	ms := make([]Message, r.IntN(100))
	for n := range ms {
		ms[n] = Message{Kind: Binary, Payload: make([]byte, 1+r.IntN(200))}
		if r.IntN(50) == 0 {
			ms[n].Payload = make([]byte, 3000)
		}
		ms[n].Payload[0] = byte(n)
	}
	if r.IntN(3) == 0 {
		ms = append(ms, Message{Kind: Close})
	}
	return ms
}
