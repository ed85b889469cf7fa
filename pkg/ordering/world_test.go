package ordering

import (
	"fmt"
	"slices"
)

// side is one of the two ends of a logical connection.
type side uint8

const (
	relay side = iota
	app
)

func (s side) String() string { return [...]string{"relay", "app"}[s] }

func (s side) peer() side { return 1 - s }

// wire is a server connection as an onlooker sees it. The ends number it differently, as processes do.
type wire uint8

const wires = 3

func (w wire) String() string { return string(rune('A' + w)) }

// replaced is between the paths of a wire and of the one that replaces it.
const replaced = 100

// path returns the path of the first wire of that name.
func (s side) path(w wire) Path { return Path(w) + 1 + 10*Path(s) }

func (s side) wire(p Path) wire { return wire((p - s.path(0)) % replaced) }

// path returns the path of the wire that there is now.
func (w *world) path(s side, by wire) Path { return s.path(by) + replaced*w.generation[by] }

// world is one logical connection with both of its ends and all that is in flight between them. Worlds
// share what they point to: a step changes nothing but what it took with own, send and receive.
type world struct {
	plan  *plan
	relay *Initiator
	// app is nil until Open arrives.
	app *Responder
	// flight holds what each side sent by each wire and has not arrived yet.
	flight [2][wires][]Frame
	// delivered counts the messages that each side took, by the count of the checker and not of the inbox.
	delivered [2]uint16
	// moves counts the migrations that began, resumes the resumes, timeouts the moves that were given up.
	moves, resumes, timeouts uint16
	// cut says which wires take nothing more, noticed of which of them the relay knows.
	cut, noticed [wires]bool
	// generation counts how often each wire was replaced; in long schedules only.
	generation [wires]Path
	// gone says which owners have let go of their end, as it was done.
	gone [2]bool
}

func newWorld(p *plan) *world {
	return &world{plan: p, relay: NewInitiator(relay.path(0), p.window)}
}

// end returns what both kinds of ends have in common, or nil when the side has no end now.
func (w *world) end(s side) *end {
	switch {
	case w.gone[s], s == app && w.app == nil:
		return nil
	case s == app:
		return &w.app.end
	}
	return &w.relay.end
}

// own gives the world an end of its own for the side, to change it.
func (w *world) own(s side) *end {
	if w.end(s) == nil {
		return nil
	}
	if s == relay {
		w.relay = w.relay.clone()
	} else {
		w.app = w.app.clone()
	}
	return w.end(s)
}

// send puts the frame in flight. On a wire that is cut it is lost, and its sender does not know.
func (w *world) send(s side, by wire, f Frame) {
	if w.cut[by] {
		return
	}
	q := w.flight[s][by]
	w.flight[s][by] = append(q[:len(q):len(q)], f)
}

// receive gives the head of what is in flight towards the side to its end.
func (w *world) receive(s side, by wire) (Frame, Verdict, error) {
	q := w.flight[s.peer()][by]
	f := q[0]
	w.flight[s.peer()][by] = q[1:]
	if s == app && w.gone[s] && w.plan.amnesia && f.Kind == Open {
		w.app, w.gone[s] = nil, false
	}
	if w.gone[s] {
		return f, Taken, nil
	}
	if f.Kind == unknown {
		return f, Taken, w.leave(s)
	}
	if s == app && w.app == nil {
		if f.Kind != Open {
			return f, 0, fmt.Errorf("%v before Open", f.Kind)
		}
		w.app = NewResponder(w.path(s, by), f, w.plan.window)
		return f, Taken, nil
	}
	w.own(s)
	v, err := w.hand(s, by, f)
	return f, v, err
}

// hand hands the frame to the side's end.
func (w *world) hand(s side, by wire, f Frame) (Verdict, error) {
	if s == relay {
		return w.relay.Receive(w.path(s, by), f)
	}
	return w.app.Receive(w.path(s, by), f)
}

// unbroken reports whether no path was lost and no move was given up.
func (w *world) unbroken() bool {
	return w.timeouts == 0 && !slices.Contains(w.cut[:], true) && w.generation == [wires]Path{}
}

// dropStale removes from flight what its receiver drops as stale now and for ever, with no receipt that is news: epochs
// and receipts only rise, so that it makes no difference when it arrives. That it is stale, the receiver itself says.
// While nothing is broken nothing may be stale, and all of it is left to deliverStep to find. Nor is anything removed that
// an owner which has let go of its end would answer.
func (w *world) dropStale() {
	if w.plan.exact || w.unbroken() {
		return
	}
	for _, to := range []side{relay, app} {
		for by, frames := range w.flight[to.peer()] {
			stale := func(f Frame) bool { return w.isStale(to, wire(by), f) }
			if slices.ContainsFunc(frames, stale) {
				w.flight[to.peer()][by] = slices.DeleteFunc(slices.Clone(frames), stale)
			}
		}
	}
}

func (w *world) isStale(to side, by wire, f Frame) bool {
	if w.gone[to] {
		return !answered(f)
	}
	e := w.end(to)
	if e == nil || f.Kind == unknown || f.Consumed > e.Outbox.acked || (w.plan.forget && answered(f)) {
		return false
	}
	oldest, newest := w.epochs(to)
	if f.Epoch >= newest || (f.Kind == Receipt && f.Epoch >= oldest) {
		return false
	}
	probe := *w
	probe.own(to)
	if verdict, err := probe.hand(to, by, f); err != nil || (verdict != StaleEpoch && f.Kind != Receipt) {
		return false
	}
	before, _ := w.fingerprint(nil)
	after, _ := probe.fingerprint(nil)
	return before == after
}

// epochs returns the oldest epoch of which the side still takes messages, and the newest that it knows.
func (w *world) epochs(s side) (oldest, newest Epoch) {
	if s == relay {
		return w.relay.inEpoch, w.relay.epoch
	}
	return w.app.epoch, max(w.app.epoch, w.app.nextEpoch)
}

// forgetDone has the owners let go of ends that are done, where the plan says so: at once, as they must. An end that is done
// and is moved all the same may leave its peer waiting for a receipt that it was sent already.
func (w *world) forgetDone() error {
	for _, s := range []side{relay, app} {
		if e := w.end(s); w.plan.forget && e != nil && e.Done() {
			if err := w.leave(s); err != nil {
				return err
			}
		}
	}
	return nil
}

// leave has the owner of the side let go of its end. Somebody must have taken a Close, and all before it.
func (w *world) leave(s side) error {
	w.gone[s] = true
	for _, from := range []side{relay, app} {
		ms, n := w.plan.messages[from], w.delivered[from.peer()]
		if n > 0 && ms[n-1].Kind == Close {
			return nil
		}
	}
	return fmt.Errorf("%v lets go, but nobody has taken a Close", s)
}

// unknown is the answer of an owner that let go of its end: it knows no such connection.
const unknown FrameKind = 100

// answered reports whether the frame asks an owner that knows no such connection for an answer.
func answered(f Frame) bool {
	return f.Kind != Receipt && f.Kind != Ack && f.Kind != unknown && !f.Message.ends()
}

// answerUnknown lets the owner that has let go of its end answer what asks for an answer.
func (w *world) answerUnknown(s side, by wire, f Frame) {
	if w.gone[s] && answered(f) {
		w.send(s, by, Frame{Kind: unknown})
	}
}

// take takes and consumes the next message of the side and checks that it is the one that the peer sent
// next.
func (w *world) take(s side) error {
	e := w.end(s)
	m, ok := e.Inbox.Take()
	if !ok {
		return fmt.Errorf("%v has nothing to take", s)
	}
	e.Inbox.Consume()
	n, want := w.delivered[s], w.plan.messages[s.peer()]
	if int(n) >= len(want) || !sameMessage(m, want[n]) {
		return fmt.Errorf("%v took %s as message %d", s, describe(m), n+1)
	}
	w.delivered[s]++
	return nil
}

func sameMessage(a, b Message) bool {
	return a.Kind == b.Kind && a.Reason == b.Reason && string(a.Payload) == string(b.Payload)
}

func describe(m Message) string {
	if m.ends() {
		return m.Kind.String()
	}
	return fmt.Sprintf("%q", m.Payload)
}

// The clones below are deep but for payloads, which nobody writes to, and leave out what a queue has
// already given out, so that equal ends have equal clones.

func (i *Initiator) clone() *Initiator {
	c := *i
	c.end = i.end.clone()
	return &c
}

func (r *Responder) clone() *Responder {
	c := *r
	c.end, c.replies = r.end.clone(), exactClone(r.replies)
	return &c
}

func (e *end) clone() end {
	c := *e
	c.Outbox, c.Inbox = *e.Outbox.clone(), *e.Inbox.clone()
	c.control = exactClone(e.control)
	return c
}

func (o *Outbox) clone() *Outbox {
	c := *o
	c.retained = o.retained.clone()
	return &c
}

func (in *Inbox) clone() *Inbox {
	c := *in
	c.ready, c.buffer, c.given = in.ready.clone(), exactClone(in.buffer), exactClone(in.given)
	return &c
}

func (q *queue) clone() queue { return queue{items: exactClone(q.items[q.head:])} }

// exactClone returns nil for nothing, so that clones compare equal.
func exactClone[T any](s []T) []T {
	if len(s) == 0 {
		return nil
	}
	return slices.Clone(s)
}
