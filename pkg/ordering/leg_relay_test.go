package ordering

import "fmt"

// What the relay makes of its ends: the rules by which its owner keeps them.

// hello makes a challenger, which asks the app server via the path.
func (w *legWorld) hello(l link, f Frame, by wire) error {
	r := &w.relays[l.relay]
	if old := r.ends[challenger]; old.end != nil {
		w.drop(old.link)
	}
	if w.plan.amnesia {
		r.known = max(generationOf(r.ends[current].end), generationOf(r.ends[challenger].end))
	}
	const window = 1 // which is not the connection's
	end := NewAdopter(relayPath(by), window, f.Generation, r.known, f.Received, f.Consumed)
	r.ends[challenger] = legEnd{end: end, link: l.id}
	r.known = max(r.known, end.Epoch().Generation())
	return nil
}

func generationOf(i *Initiator) uint32 {
	if i == nil {
		return 0
	}
	return i.Epoch().Generation()
}

// fromClient takes a frame that came by the link, a Hello with the wire via which the app server is to be asked.
func (w *legWorld) fromClient(l link, f Frame, by wire) error {
	r := &w.relays[l.relay]
	if f.Kind == Hello {
		return w.hello(l, f, by)
	}
	for which := range r.ends {
		if r.ends[which].link == l.id {
			if which == challenger {
				return fmt.Errorf("%v before the Welcome", f.Kind)
			}
			return w.fromWelcomed(w.ownEnd(int(l.relay), which), f)
		}
	}
	return fmt.Errorf("no end has link %d", l.id)
}

func (w *legWorld) fromWelcomed(e *legEnd, f Frame) error {
	if f.Welcomed {
		e.end.Welcome()
	}
	if f.Kind == Data {
		fresh, err := e.end.Outbox.PushNumbered(f.Seq, f.Message)
		if err != nil || !fresh {
			return fmt.Errorf("message %d: fresh: %v, %w", f.Seq, fresh, err)
		}
	}
	if f.Consumed > 0 {
		if _, err := e.end.Inbox.ConsumeThrough(f.Consumed); err != nil {
			return fmt.Errorf("receipt: %w", err)
		}
	}
	return nil
}

// fromApp gives the frame to the end of its generation.
func (w *legWorld) fromApp(by wire, f Frame) (Verdict, error) {
	relay := relayOf(by)
	for which := range w.relays[relay].ends {
		e := &w.relays[relay].ends[which]
		if e.end == nil || e.end.Epoch().Generation() != f.Epoch.Generation() {
			continue
		}
		before := e.end.State()
		e = w.ownEnd(relay, which)
		verdict, err := e.end.Receive(relayPath(by), f)
		if err != nil {
			return verdict, err
		}
		w.relays[relay].known = max(w.relays[relay].known, e.end.Epoch().Generation(), f.Generation)
		return verdict, w.follow(relay, which, before)
	}
	return StaleEpoch, nil
}

// follow does what the relay does when the state of an end was another before.
func (w *legWorld) follow(relay, which int, before InitiatorState) error {
	r := &w.relays[relay]
	e := r.ends[which]
	switch state := e.end.State(); {
	case state == Dismissed:
		r.ends[which] = legEnd{}
		return w.dismiss(e)
	case before == Adopting && state == Settled:
		if which == challenger {
			w.drop(r.ends[current].link)
			r.ends[current], r.ends[challenger] = e, legEnd{}
		}
		return w.welcome(&r.ends[current])
	}
	return nil
}

// dismiss ends the client's stream. A client that is still waiting for it is told so only when somebody has its token.
func (w *legWorld) dismiss(e legEnd) error {
	final := e.end.Refusal() != TakenOver && e.end.Refusal() != 0
	if l := w.ownLink(e.link); l != nil {
		l.final = final
		if c := w.clients[l.client].end; final && c.Joining() == l.id && w.theft == 0 {
			return fmt.Errorf("the client is refused: %v", e.end.Refusal())
		}
	}
	w.drop(e.link)
	return nil
}

// welcome tells the client that this end has the connection.
func (w *legWorld) welcome(e *legEnd) error {
	generation := e.end.Epoch().Generation()
	f := Frame{
		Kind: Welcome, Epoch: e.end.Epoch(), Received: e.end.Outbox.base, Consumed: e.end.Outbox.Acked(), Generation: generation,
	}
	if f.Received > w.app.Inbox.received {
		return fmt.Errorf("a Welcome says that %d were received, the app has %d", f.Received, w.app.Inbox.received)
	}
	e.said = f.Consumed
	w.sendDown(e.link, f)
	return nil
}

// pump has the relays send all that they have, and the client and the app what should not wait. What is lost with a link or a
// path is any end of it, as if it had been sent as late as that.
func (w *legWorld) pump() {
	for !w.plan.slow && w.app.Ready(w.app.Path()) {
		f, _ := w.ownApp().Next(w.app.Path())
		w.sendToRelay(wire(w.app.Path()-appPath(0)), f)
	}
	for n := range w.clients {
		for c := w.clients[n].end; !w.plan.slow && c != nil && c.Ready(c.link); c = w.clients[n].end {
			f, _ := w.ownClient(n).Next(c.link)
			w.sendUp(c.link, f)
		}
	}
	for relay := range w.relays {
		for which := range w.relays[relay].ends {
			if w.relays[relay].ends[which].end == nil {
				continue
			}
			w.pumpUp(relay, which)
			if which == current {
				w.pumpDown(relay)
			}
		}
	}
}

func (w *legWorld) pumpUp(relay, which int) {
	for by := range wire(wires) {
		for w.relays[relay].ends[which].end.sends(relayPath(by)) {
			f, _ := w.ownEnd(relay, which).end.Next(relayPath(by))
			w.sendToApp(by, f)
		}
	}
}

func (w *legWorld) pumpDown(relay int) {
	e := &w.relays[relay].ends[current]
	if e.link == 0 {
		return
	}
	for e.end.Inbox.Waiting() > 0 {
		e = w.ownEnd(relay, current)
		m, _ := e.end.Inbox.Take()
		f := Frame{Kind: Data, Epoch: e.end.Epoch(), Seq: e.end.Inbox.Taken(), Message: m}
		if acked := e.end.Outbox.Acked(); acked > e.said {
			f.Consumed, e.said = acked, acked
		}
		w.sendDown(e.link, f)
	}
	if acked := e.end.Outbox.Acked(); acked > e.said {
		e.said = acked
		w.sendDown(e.link, Frame{Kind: Receipt, Epoch: e.end.Epoch(), Consumed: acked})
	}
}
