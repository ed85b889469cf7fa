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

func (s side) path(w wire) Path { return Path(w) + 1 + 10*Path(s) }

func (s side) wire(p Path) wire { return wire(p - s.path(0)) }

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
	delivered [2]uint8
	// moves counts the migrations that began.
	moves uint8
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

func (w *world) send(s side, by wire, f Frame) {
	q := w.flight[s][by]
	w.flight[s][by] = append(q[:len(q):len(q)], f)
}

// receive gives the head of what is in flight towards the side to its end.
func (w *world) receive(s side, by wire) (Frame, Verdict, error) {
	q := w.flight[s.peer()][by]
	f := q[0]
	w.flight[s.peer()][by] = q[1:]
	if w.gone[s] {
		return f, Taken, nil
	}
	if s == relay {
		w.own(s)
		v, err := w.relay.Receive(s.path(by), f)
		return f, v, err
	}
	if w.app == nil {
		if f.Kind != Open {
			return f, 0, fmt.Errorf("%v before Open", f.Kind)
		}
		w.app = NewResponder(s.path(by), f, w.plan.window)
		return f, Taken, nil
	}
	w.own(s)
	v, err := w.app.Receive(s.path(by), f)
	return f, v, err
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
	c.end = r.end.clone()
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
	c.ready, c.buffer = in.ready.clone(), exactClone(in.buffer)
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
