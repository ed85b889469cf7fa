package ordering

import (
	"fmt"
)

// settle ends every step: it does what follows at once, and checks the world.
func (w *legWorld) settle() error {
	w.pump()
	w.dropStale()
	w.forgetLinks()
	return w.check()
}

// check fails when an invariant that holds in every world does not hold in this one.
func (w *legWorld) check() error {
	if err := w.app.end.check(); err != nil {
		return fmt.Errorf("app: %w", err)
	}
	for relay := range w.relays {
		for which, e := range w.relays[relay].ends {
			if e.end == nil {
				continue
			}
			if err := w.checkEndOf(e.end); err != nil {
				return fmt.Errorf("relay %d, end %d: %w", relay, which, err)
			}
		}
	}
	for n, c := range w.clients {
		if c.end == nil {
			continue
		}
		if err := w.checkClient(c.end); err != nil {
			return fmt.Errorf("client %d: %w", n, err)
		}
	}
	return nil
}

// checkClient fails when the client or the app has freed what the other has not consumed.
func (w *legWorld) checkClient(c *Client) error {
	if err := c.Outbox.check(); err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	if err := c.Inbox.check(); err != nil {
		return fmt.Errorf("inbox: %w", err)
	}
	if w.theft > 0 {
		return nil
	}
	if c.Outbox.acked > w.app.Inbox.reported {
		return fmt.Errorf("freed through message %d, but the app said only %d", c.Outbox.acked, w.app.Inbox.reported)
	}
	if c.Outbox.top < w.app.Inbox.received || w.app.Outbox.top < c.Inbox.received {
		return fmt.Errorf("sent %d and received %d, of the app's it is %d and %d",
			c.Outbox.top, c.Inbox.received, w.app.Outbox.top, w.app.Inbox.received)
	}
	if w.app.Outbox.acked > c.Inbox.consumed {
		return fmt.Errorf("consumed through message %d, but the app has freed %d", c.Inbox.consumed, w.app.Outbox.acked)
	}
	return nil
}

// checkEndOf fails when the relay's end has freed what the app has not consumed, or says that the client consumed what it has not.
func (w *legWorld) checkEndOf(e *Initiator) error {
	if err := e.end.check(); err != nil {
		return err
	}
	if e.Outbox.acked > w.app.Inbox.reported {
		return fmt.Errorf("freed through message %d, but the app said only %d", e.Outbox.acked, w.app.Inbox.reported)
	}
	if o := &e.Outbox; e.confirmed && o.bytes != cost(w.plan.up[o.acked:o.pushed]) {
		return fmt.Errorf("counts %d bytes for the messages after %d through %d", o.bytes, o.acked, o.pushed)
	}
	if c := w.clients[0].end; w.theft == 0 && e.Inbox.consumed > c.Inbox.consumed {
		return fmt.Errorf("says that %d were consumed, but the client did only %d", e.Inbox.consumed, c.Inbox.consumed)
	}
	return nil
}

// checkAppTook fails when the app took what it should not have.
func (w *legWorld) checkAppTook(before *Responder, f Frame, verdict Verdict) error {
	generation := w.app.Epoch().Generation()
	if f.Welcomed {
		w.known = max(w.known, f.Epoch.Generation())
	}
	switch {
	case verdict == Duplicate:
		return fmt.Errorf("doubled")
	case generation != before.Epoch().Generation() && f.Generation < w.known:
		return fmt.Errorf("adopted with token %d, but a client has taken the Welcome of %d", f.Generation, w.known)
	case w.app.Inbox.received != before.Inbox.received && f.Epoch.Generation() != generation:
		return fmt.Errorf("took message %d, but the generation is %d", f.Seq, generation)
	}
	return nil
}

// checkRest fails when a world in which only inputs can happen is not at rest: when the client has a link to a relay that has a
// path, all that was pushed has been delivered and receipted, no move is open, and all ends agree where they are.
func (w *legWorld) checkRest() error {
	if w.theft > 0 {
		return w.checkOwner()
	}
	c := w.clients[0].end
	if c.link == 0 && c.joining == 0 {
		if !c.Done() && (w.alive(0) || w.alive(1)) {
			return fmt.Errorf("stuck: the client does not come back")
		}
		return nil
	}
	for _, l := range w.links {
		if !w.alive(int(l.relay)) {
			return nil
		}
	}
	if c.asked && c.joining == 0 && c.Done() && w.app.Done() {
		return nil // both have closed: who had given up a join needs no other any more
	}
	if c.joining != 0 || c.asked || c.greet {
		return fmt.Errorf("stuck: the client waits for a Welcome by link %d", c.joining)
	}
	return w.checkRestOf(c)
}

func (w *legWorld) checkRestOf(c *Client) error {
	if len(w.links) != 1 || w.links[0].id != c.link {
		return fmt.Errorf("stuck: %d links, the client's is %d", len(w.links), c.link)
	}
	e := w.relays[w.links[0].relay].ends[current]
	if other := w.relays[1-w.links[0].relay]; other.ends[current].end != nil && w.alive(1-int(w.links[0].relay)) {
		return fmt.Errorf("stuck: the other relay does not let go of its end")
	}
	if e.link != c.link || e.end.State() != Settled || w.relays[w.links[0].relay].ends[challenger].end != nil {
		return fmt.Errorf("stuck: the relay's end is not settled")
	}
	if e.end.Epoch() != w.app.Epoch() || w.app.State() != Running || w.app.Path() != e.end.Path()+10 {
		return fmt.Errorf("stuck: relay %v on %d, app %v on %d", e.end.Epoch(), e.end.Path(), w.app.Epoch(), w.app.Path())
	}
	if token := w.clients[0].token; token != w.app.Epoch().Generation() || token != w.app.welcomed {
		return fmt.Errorf("stuck: the client has token %d, the app %v and knows that the Welcome of %d was taken",
			token, w.app.Epoch(), w.app.welcomed)
	}
	if c.Done() != e.end.Done() || c.Done() != w.app.Done() {
		return fmt.Errorf("stuck: done is the client: %v, the relay: %v, the app: %v", c.Done(), e.end.Done(), w.app.Done())
	}
	if o := &e.end.Outbox; o.acked != o.pushed || o.bytes != 0 {
		return fmt.Errorf("stuck: of %d messages the relay knows %d to be acked, and retains %d bytes", o.pushed, o.acked, o.bytes)
	}
	if err := checkLeg("client", &c.Outbox, &w.app.Inbox, w.delivered); err != nil {
		return err
	}
	return checkLeg("app", &w.app.Outbox, &c.Inbox, w.clients[0].delivered)
}

// checkLeg fails when something that was pushed is still on its way.
func checkLeg(from string, out *Outbox, in *Inbox, delivered uint8) error {
	if uint64(delivered) != out.pushed {
		return fmt.Errorf("stuck: %s pushed %d messages, but %d were taken", from, out.pushed, delivered)
	}
	if out.acked != out.pushed || out.paused || in.Owes() || in.outstanding != 0 || len(in.buffer) != 0 {
		return fmt.Errorf("stuck: of %d messages from %s, %d are acked; outbox paused: %v; %d bytes outstanding, %d held",
			out.pushed, from, out.acked, out.paused, in.outstanding, len(in.buffer))
	}
	return nil
}

// checkOwner fails when more relays' ends than one have the connection, as the app has it, or more clients than one, or when one
// that has a link has it to another end.
func (w *legWorld) checkOwner() error {
	var owner legEnd
	for relay := range w.relays {
		for _, e := range w.relays[relay].ends {
			switch {
			case e.end == nil || !w.alive(relay):
				continue
			case e.end.Epoch() != w.app.Epoch() || e.end.State() != Settled:
				return fmt.Errorf("stuck: relay %d has an end of %v, %v, but the app is at %v",
					relay, e.end.Epoch(), e.end.State(), w.app.Epoch())
			case owner.end != nil:
				return fmt.Errorf("two ends have the connection")
			}
			owner = e
		}
	}
	for n, c := range w.clients {
		if c.end != nil && c.end.link != 0 && c.end.link != owner.link && w.alive(0) && w.alive(1) {
			return fmt.Errorf("client %d has a link, but not to the end that has the connection", n)
		}
	}
	return nil
}

// checkEnd fails when a world in which nothing at all can happen has not done its whole plan.
func (w *legWorld) checkEnd() error {
	if w.theft > 0 {
		return nil
	}
	for _, l := range w.links {
		if !w.alive(int(l.relay)) {
			return nil
		}
	}
	if len(w.links) == 0 && !w.alive(0) && !w.alive(1) {
		return nil
	}
	if w.clients[0].end.Done() {
		return nil // one side has closed: what the other might still push is for nobody
	}
	if n, m := w.app.Outbox.Pushed(), w.clients[0].end.Outbox.Pushed(); int(n) != len(w.plan.down) || int(m) != len(w.plan.up) {
		return fmt.Errorf("ended when the app had pushed %d of %d messages and the client %d of %d", n, len(w.plan.down), m, len(w.plan.up))
	}
	return nil
}
