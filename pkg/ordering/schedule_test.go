package ordering

import (
	"fmt"
	"slices"
	"strings"
)

// replaceStep puts a new server connection in the place of one that is lost, with paths that were never used before.
type replaceStep struct{ wire }

func (s replaceStep) String() string { return "replace " + s.wire.String() }
func (replaceStep) input() bool      { return true }

func (s replaceStep) apply(w *world) (bool, error) {
	if !w.noticed[s.wire] {
		return false, nil
	}
	w.cut[s.wire], w.noticed[s.wire] = false, false
	w.flight[relay][s.wire], w.flight[app][s.wire] = nil, nil
	w.generation[s.wire]++
	return true, nil
}

// schedule is one long run, of which nothing is left out: what is stale arrives too.
type schedule struct {
	w   *world
	run []fmt.Stringer
}

// newSchedule starts a run. Wires are cut and replaced without an end, but never all at once.
func newSchedule(messages [2][]Message, window int, lazy bool) *schedule {
	return &schedule{w: newWorld(&plan{
		messages: messages, moves: 1 << 15, cuts: wires - 1, timeouts: 1 << 15, window: window, lazy: lazy, exact: true,
	})}
}

// scheduleSteps lists what may happen in a long run: what is there more often is more often drawn.
func scheduleSteps(p *plan, repeat int) []step {
	steps := p.steps()
	for by := range wire(wires) {
		steps = append(steps, replaceStep{by})
	}
	for _, s := range slices.Clone(steps) {
		switch s.(type) {
		case pushStep, takeStep, deliverStep, pullStep:
			steps = append(steps, slices.Repeat([]step{s}, repeat)...)
		}
	}
	return steps
}

// try takes the step when it is possible.
func (s *schedule) try(next step) (bool, error) {
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

// finish cuts and moves nothing more, lets everything else happen, and checks that all was delivered.
func (s *schedule) finish() error {
	steps := slices.DeleteFunc(scheduleSteps(s.w.plan, 0), func(next step) bool {
		switch next.(type) {
		case pushStep, replaceStep:
			return false
		}
		return next.input()
	})
	for moved := true; moved; {
		moved = false
		for _, next := range steps {
			ok, err := s.try(next)
			if err != nil {
				return err
			}
			moved = moved || ok
		}
	}
	err := s.w.checkRest()
	for _, of := range []side{relay, app} {
		if n := len(s.w.plan.messages[of]); err == nil && int(s.w.delivered[of.peer()]) != n {
			err = fmt.Errorf("of %d messages from %v %d were delivered", n, of, s.w.delivered[of.peer()])
		}
	}
	if err != nil {
		return &violation{s.run, err}
	}
	return nil
}

// summary says what happened in the run.
func (s *schedule) summary() string {
	replacements := Path(0)
	for _, n := range s.w.generation {
		replacements += n
	}
	return fmt.Sprintf("%d steps, %d and %d messages, %d moves, %d resumes, %d timeouts, %d paths replaced",
		len(s.run), s.w.delivered[app], s.w.delivered[relay], s.w.moves, s.w.resumes, s.w.timeouts, replacements)
}

// lastSteps returns the end of a violation of a long run.
func lastSteps(err error, n int) string {
	lines := strings.Split(err.Error(), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
