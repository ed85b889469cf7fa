package ordering

import (
	"fmt"
	"slices"
)

// settle ends every step: it does what follows at once, and checks the world.
func (w *world) settle() error {
	if err := w.forgetDone(); err != nil {
		return err
	}
	w.dropStale()
	return w.check()
}

// check fails when an invariant that holds in every world does not hold in this one.
func (w *world) check() error {
	for _, s := range []side{relay, app} {
		e := w.end(s)
		if e == nil {
			continue
		}
		if err := e.check(); err != nil {
			return fmt.Errorf("%v: %w", s, err)
		}
		peer := w.end(s.peer())
		if peer != nil && e.Outbox.acked > peer.Inbox.reported {
			return fmt.Errorf("%v freed through message %d, but %v said only %d", s, e.Outbox.acked, s.peer(), peer.Inbox.reported)
		}
		if peer != nil && e.Outbox.top < max(peer.Inbox.received, peer.Inbox.buffered) {
			return fmt.Errorf("%v has sent no more than %d, but %v has %d", s, e.Outbox.top, s.peer(), peer.Inbox.received)
		}
	}
	return nil
}

func (e *end) check() error {
	if err := e.Outbox.check(); err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	if err := e.Inbox.check(); err != nil {
		return fmt.Errorf("inbox: %w", err)
	}
	for i, c := range e.control {
		for _, d := range e.control[:i] {
			if c.path == d.path {
				return fmt.Errorf("%v and %v both wait for path %d", d.frame.Kind, c.frame.Kind, c.path)
			}
		}
	}
	return nil
}

func (o *Outbox) check() error {
	from := max(o.acked, o.base)
	if o.acked > o.sent || from > o.sent || o.sent > o.top || o.top > o.pushed || uint64(o.retained.len()) != o.pushed-from {
		return fmt.Errorf("acked %d, base %d, sent %d, top %d, pushed %d, %d retained",
			o.acked, o.base, o.sent, o.top, o.pushed, o.retained.len())
	}
	sum := o.baseBytes + cost(o.retained.items[o.retained.head:])
	if o.bytes != sum || !fits(o.retained.items[o.retained.head:], o.window) {
		return fmt.Errorf("counts %d bytes of %d in a window of %d", o.bytes, sum, o.window)
	}
	return nil
}

func (in *Inbox) check() error {
	if in.reported > in.consumed || in.consumed > in.taken || in.taken > in.received ||
		uint64(in.ready.len()) != in.received-in.taken {
		return fmt.Errorf("reported %d, consumed %d, taken %d, received %d, %d ready",
			in.reported, in.consumed, in.taken, in.received, in.ready.len())
	}
	waiting := append(in.ready.clone().items, in.buffer...)
	sum := in.consumedBytes + in.takenBytes + cost(waiting)
	if in.outstanding != sum || !fits(waiting, in.window) {
		return fmt.Errorf("counts %d bytes of %d in a window of %d", in.outstanding, sum, in.window)
	}
	if from := max(in.consumed, in.base); in.numbered && uint64(len(in.given)) != max(in.taken, from)-from {
		return fmt.Errorf("consumed %d, taken %d, base %d, but the costs of %d are kept", in.consumed, in.taken, in.base, len(in.given))
	}
	last := in.received
	if len(in.buffer) > 0 {
		last = in.buffered
	}
	if in.halfClosed > last || in.closed > last {
		return fmt.Errorf("half-closed at %d, closed at %d, but the last that arrived is %d", in.halfClosed, in.closed, last)
	}
	return nil
}

// fits reports whether the messages may be outstanding together: all within the window, or a lone one,
// and what ends the direction beside that.
func fits(ms []Message, window int) bool {
	counted := slices.DeleteFunc(slices.Clone(ms), Message.ends)
	return len(counted) <= 1 || cost(counted) <= window
}

func cost(ms []Message) int {
	sum := 0
	for _, m := range ms {
		sum += m.Cost()
	}
	return sum
}

// checkRest fails when a world in which only inputs can happen is not at rest: all that was pushed has
// been delivered and receipted, no handoff is open, and both ends agree where they are.
func (w *world) checkRest() error {
	for _, s := range []side{relay, app} {
		if w.gone[s] {
			return w.checkLeft(s.peer())
		}
	}
	if w.relay.state == Parked && w.alive() == 0 {
		return nil
	}
	if w.app == nil {
		return fmt.Errorf("stuck before Open arrived")
	}
	for _, s := range []side{relay, app} {
		if err := w.checkDirection(s); err != nil {
			return err
		}
	}
	return w.checkPlacement()
}

// checkLeft fails when the side, whose peer has gone, is neither done nor waits only for a receipt that is lost with its
// path. Only the app may wait so, in vain: the relay knows nothing any more that it could resume.
func (w *world) checkLeft(s side) error {
	e := w.end(s)
	if e == nil || e.Done() {
		return nil
	}
	lost := s == app && slices.Contains(w.cut[:], true) && e.Outbox.Ended()
	if !lost || uint64(w.delivered[s.peer()]) != e.Outbox.pushed {
		return fmt.Errorf("%v has gone, but %v is stuck and not done", s.peer(), s)
	}
	return nil
}

// checkDirection fails when something that the side pushed is still on its way.
func (w *world) checkDirection(s side) error {
	out, in := &w.end(s).Outbox, &w.end(s.peer()).Inbox
	if n := w.delivered[s.peer()]; uint64(n) != out.pushed {
		return fmt.Errorf("stuck: %v pushed %d messages, but %v took %d", s, out.pushed, s.peer(), n)
	}
	if out.acked != out.pushed || out.paused || in.Owes() || in.outstanding != 0 || len(in.buffer) != 0 {
		return fmt.Errorf("stuck: of %d messages from %v, %d are acked; outbox paused: %v; %d bytes outstanding, %d held",
			out.pushed, s, out.acked, out.paused, in.outstanding, len(in.buffer))
	}
	return nil
}

// checkPlacement fails when a handoff is open or the ends do not agree on the placement.
func (w *world) checkPlacement() error {
	r, a := w.relay, w.app
	if r.state != Settled || r.previous != 0 || a.state != Running || a.target != 0 || a.nextEpoch != 0 {
		return fmt.Errorf("stuck: relay %v, app %v", r.state, a.state)
	}
	if want := FirstEpoch + Epoch(w.moves) + Epoch(w.resumes); r.epoch != want || r.inEpoch != want || a.epoch != want {
		return fmt.Errorf("epochs: relay %v and %v, app %v, want %v", r.epoch, r.inEpoch, a.epoch, want)
	}
	if by := relay.wire(r.path); r.inPath != r.path || r.path != w.path(relay, by) || a.path != w.path(app, by) {
		return fmt.Errorf("paths: relay %d and %d, app %d", r.path, r.inPath, a.path)
	}
	return nil
}

// checkEnd fails when a world in which nothing at all can happen has not done its whole plan.
func (w *world) checkEnd() error {
	if int(w.moves) != w.plan.moves && !w.gone[relay] && w.alive() > 1 {
		return fmt.Errorf("ended after %d of %d moves", w.moves, w.plan.moves)
	}
	if !w.gone[relay] && (w.cuts() != w.plan.cuts || int(w.timeouts) != w.plan.timeouts) {
		return fmt.Errorf("ended after %d of %d cuts, %d of %d timeouts", w.cuts(), w.plan.cuts, w.timeouts, w.plan.timeouts)
	}
	for _, s := range []side{relay, app} {
		e := w.end(s)
		if e == nil {
			continue
		}
		if n := len(w.plan.messages[s]); e.Outbox.pushed != uint64(n) {
			return fmt.Errorf("%v could push only %d of %d messages", s, e.Outbox.pushed, n)
		}
		if (e.Outbox.Ended() || e.Inbox.Closed()) && !w.gone[s.peer()] && !e.Done() {
			return fmt.Errorf("%v ended without being done", s)
		}
	}
	return nil
}
