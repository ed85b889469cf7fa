package ordering

import (
	"errors"
	"fmt"
)

// step is one thing that can happen in a world. The explorer knows nothing else of it: a new kind of step is
// a type here and a line in plan.steps.
type step = stepOf[world]

// stepOf is one thing that can happen in a world of the type.
type stepOf[W any] interface {
	fmt.Stringer
	// apply does the step to the world. It reports false when the step is not possible there; what it left
	// of the world is then thrown away. An error is a violation.
	apply(w *W) (bool, error)
	// input reports whether the step comes from outside. Without inputs every world must come to rest.
	input() bool
}

// pushStep sends the side's next message.
type pushStep struct{ side }

func (s pushStep) String() string { return s.side.String() + " push" }
func (pushStep) input() bool      { return true }

func (s pushStep) apply(w *world) (bool, error) {
	e := w.end(s.side)
	if e == nil {
		return false, nil
	}
	n, plan := e.Outbox.Pushed(), w.plan.messages[s.side]
	if n == uint64(len(plan)) {
		return false, nil
	}
	seq, err := w.own(s.side).Outbox.Push(plan[n])
	if errors.Is(err, ErrWindowFull) {
		return false, nil
	}
	if err == nil && seq != n+1 {
		err = fmt.Errorf("message %d got number %d", n+1, seq)
	}
	return true, err
}

// migrateStep begins a move.
type migrateStep struct{ target wire }

func (s migrateStep) String() string { return "migrate " + s.target.String() }
func (migrateStep) input() bool      { return true }

func (s migrateStep) apply(w *world) (bool, error) {
	if int(w.moves) == w.plan.moves || w.gone[relay] || w.noticed[s.target] {
		return false, nil
	}
	// Most worlds refuse: find that out on a shallow copy, which Migrate writes to no deeper.
	if probe := *w.relay; probe.Migrate(w.path(relay, s.target)) != nil {
		return false, nil
	}
	w.own(relay)
	w.moves++
	return true, w.relay.Migrate(w.path(relay, s.target))
}

// pullStep gives the writer of a wire one frame to send.
type pullStep struct {
	side
	wire wire
}

func (s pullStep) String() string { return fmt.Sprintf("%v pull %v", s.side, s.wire) }
func (pullStep) input() bool      { return false }

func (s pullStep) apply(w *world) (bool, error) {
	e, path := w.end(s.side), w.path(s.side, s.wire)
	if e == nil {
		return false, nil
	}
	ready := e.Ready(path)
	if !e.sends(path) {
		if ready {
			return false, fmt.Errorf("%v is ready on %v but has nothing to send", s.side, s.wire)
		}
		return false, nil
	}
	f, _ := w.own(s.side).Next(path)
	if !ready && f.Kind != Receipt {
		return false, fmt.Errorf("%v has %v for %v but is not ready", s.side, f.Kind, s.wire)
	}
	w.send(s.side, s.wire, f)
	return true, nil
}

// sends reports whether Next has something for the path, without giving it out. A shallow copy is enough
// for that, as Next writes to nothing deeper but control.
func (e *end) sends(path Path) bool {
	probe := *e
	probe.control = exactClone(e.control)
	_, ok := probe.Next(path)
	return ok
}

// deliverStep lets the oldest frame in flight to the side on a wire arrive.
type deliverStep struct {
	side
	wire wire
}

func (s deliverStep) String() string { return fmt.Sprintf("deliver to-%v %v", s.side, s.wire) }
func (deliverStep) input() bool      { return false }

func (s deliverStep) apply(w *world) (bool, error) {
	if len(w.flight[s.peer()][s.wire]) == 0 {
		return false, nil
	}
	f, verdict, err := w.receive(s.side, s.wire)
	if err != nil {
		return false, fmt.Errorf("%v via %v: %w", f.Kind, s.wire, err)
	}
	w.answerUnknown(s.side, s.wire, f)
	// Nothing is late or astray while no move is given up, and nothing is ever doubled: a replay starts where the peer is.
	if verdict != Taken && (w.unbroken() || verdict == Duplicate) {
		return false, fmt.Errorf("%v of epoch %v via %v: %v", f.Kind, f.Epoch, s.wire, verdict)
	}
	for e := w.end(s.side); e != nil && !w.plan.lazy && e.Inbox.Waiting() > 0; {
		if err := w.take(s.side); err != nil {
			return false, err
		}
	}
	return true, nil
}

// takeStep lets the owner of the side take and consume one message; in lazy plans only.
type takeStep struct{ side }

func (s takeStep) String() string { return s.side.String() + " take" }
func (takeStep) input() bool      { return false }

func (s takeStep) apply(w *world) (bool, error) {
	if e := w.end(s.side); e == nil || e.Inbox.Waiting() == 0 {
		return false, nil
	}
	w.own(s.side)
	return true, w.take(s.side)
}
