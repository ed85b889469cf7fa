package ordering

import (
	"errors"
	"fmt"
)

// legStep is one thing that can happen in a legWorld: done reports whether it was possible.
type legStep struct {
	name     string
	external bool
	do       func(w *legWorld) (done bool, err error)
}

func (s legStep) String() string                  { return s.name }
func (s legStep) input() bool                     { return s.external }
func (s legStep) apply(w *legWorld) (bool, error) { return s.do(w) }

// steps lists all that can ever happen in the plan's worlds.
func (p *legPlan) steps() []stepOf[legWorld] {
	var steps []stepOf[legWorld]
	add := func(external bool, do func(w *legWorld) (bool, error), format string, args ...any) {
		steps = append(steps, legStep{fmt.Sprintf(format, args...), external, do})
	}
	add(true, pushApp, "app push")
	add(false, pullApp, "app pull")
	if p.lazy {
		add(false, (*legWorld).lazyApp, "app take")
	}
	for n := range clients - 1 + min(p.thefts, 1) {
		p.addClient(n, add)
	}
	for slot := range maxLinks {
		p.addLink(slot, add)
	}
	for by := range p.paths {
		p.addPath(by, add)
	}
	for relay := range relays {
		p.addRelay(relay, add)
	}
	return steps
}

type adder = func(external bool, do func(w *legWorld) (bool, error), format string, args ...any)

func (p *legPlan) addClient(n int, add adder) {
	add(true, func(w *legWorld) (bool, error) { return w.pushClient(n) }, "client %d push", n)
	add(false, func(w *legWorld) (bool, error) { return w.pullClient(n) }, "client %d pull", n)
	if p.lazy {
		add(false, func(w *legWorld) (bool, error) { return w.lazyClient(n) }, "client %d take", n)
	}
	for relay := range relays {
		add(true, func(w *legWorld) (bool, error) { return w.join(n, relay) }, "client %d joins relay %d", n, relay)
		add(false, func(w *legWorld) (bool, error) { return w.comeBack(n, relay) }, "client %d comes back by relay %d", n, relay)
	}
	if p.abandons > 0 {
		add(true, func(w *legWorld) (bool, error) { return w.abandon(n) }, "client %d abandons its join", n)
	}
	if n > 0 {
		add(true, func(w *legWorld) (bool, error) { return w.steal(n) }, "client %d steals all that client 0 has", n)
	}
}

func (p *legPlan) addLink(slot int, add adder) {
	add(false, func(w *legWorld) (bool, error) { return w.deliverDown(slot) }, "deliver to-client by link slot %d", slot)
	for choice := range (p.paths + 1) / relays {
		add(false, func(w *legWorld) (bool, error) { return w.deliverUp(slot, choice) },
			"deliver to-relay by link slot %d, path %d of it", slot, choice)
	}
	add(false, func(w *legWorld) (bool, error) { return w.clientEnds(slot) }, "client is done with link slot %d", slot)
	add(false, func(w *legWorld) (bool, error) { return w.relayEnds(slot) }, "relay sees the end of link slot %d", slot)
	if p.linkCuts > 0 {
		add(true, func(w *legWorld) (bool, error) { return w.cutLink(slot) }, "cut link slot %d", slot)
	}
}

func (p *legPlan) addPath(by wire, add adder) {
	add(false, func(w *legWorld) (bool, error) { return w.deliverToApp(by) }, "deliver to-app %v", by)
	add(false, func(w *legWorld) (bool, error) { return w.deliverToRelay(by) }, "deliver to-relay %v", by)
	for which, name := range []string{"current", "challenger"} {
		add(false, func(w *legWorld) (bool, error) { return w.resumeVia(by, which) }, "%s end resumes via %v", name, by)
	}
	if p.moves > 0 {
		add(true, func(w *legWorld) (bool, error) { return w.migrateTo(by) }, "migrate %v", by)
	}
	if p.pathCuts > 0 {
		add(true, func(w *legWorld) (bool, error) { return w.cutPath(by) }, "cut %v", by)
		add(false, func(w *legWorld) (bool, error) { return w.noticePath(by) }, "relay notices the loss of %v", by)
	}
	if p.pathCuts+p.deaths > 0 {
		add(true, func(w *legWorld) (bool, error) { return w.losePath(by) }, "the rest on %v is lost to the app", by)
	}
}

func (p *legPlan) addRelay(relay int, add adder) {
	if p.deaths > 0 {
		add(true, func(w *legWorld) (bool, error) { return w.die(relay) }, "relay %d dies", relay)
	}
	if p.timeouts > 0 {
		for which, name := range []string{"current", "challenger"} {
			add(true, func(w *legWorld) (bool, error) { return w.giveUp(relay, which) }, "timeout of the %s end of relay %d", name, relay)
		}
	}
}

func pushApp(w *legWorld) (bool, error) {
	if n := w.app.Outbox.Pushed(); n < uint64(len(w.plan.down)) {
		_, err := w.ownApp().Outbox.Push(w.plan.down[n])
		return err == nil, unlessFull(err)
	}
	return false, nil
}

func (w *legWorld) pushClient(n int) (bool, error) {
	if c := &w.clients[n]; c.end != nil && !c.lost && c.end.Outbox.Pushed() < uint64(len(w.plan.up)) {
		_, err := w.ownClient(n).Outbox.Push(w.plan.up[c.end.Outbox.Pushed()])
		return err == nil, unlessFull(err)
	}
	return false, nil
}

func unlessFull(err error) error {
	if errors.Is(err, ErrWindowFull) {
		return nil
	}
	return err
}

// pullApp gives the writer of the app's path one frame to send.
func pullApp(w *legWorld) (bool, error) {
	path := w.app.Path()
	for by := range wire(wires) {
		if w.app.sends(appPath(by)) {
			if appPath(by) != path && len(w.app.control) == 0 {
				return false, fmt.Errorf("the app sends via %v, its path is %d", by, path)
			}
			f, _ := w.ownApp().Next(appPath(by))
			w.sendToRelay(by, f)
			return true, nil
		}
	}
	return false, nil
}

// pullClient gives the writer of the client's link one frame to send.
func (w *legWorld) pullClient(n int) (bool, error) {
	c := w.clients[n].end
	if c == nil || c.link == 0 {
		return false, nil
	}
	probe, ready := *c, c.Ready(c.link)
	if _, ok := probe.Next(c.link); !ok {
		if ready {
			return false, fmt.Errorf("client %d is ready but has nothing to send", n)
		}
		return false, nil
	}
	c = w.ownClient(n)
	f, _ := c.Next(c.link)
	if !ready && f.Kind != Receipt {
		return false, fmt.Errorf("client %d has %v but is not ready", n, f.Kind)
	}
	w.sendUp(c.link, f)
	return true, nil
}

func (w *legWorld) lazyApp() (bool, error) {
	if w.app.Inbox.Waiting() == 0 {
		return false, nil
	}
	return true, w.takeApp()
}

func (w *legWorld) lazyClient(n int) (bool, error) {
	if c := w.clients[n].end; c == nil || c.Inbox.Waiting() == 0 {
		return false, nil
	}
	return true, w.takeClient(n)
}

// deliverDown lets the oldest frame that the relay sent by the link arrive.
func (w *legWorld) deliverDown(slot int) (bool, error) {
	if slot >= len(w.links) || len(w.links[slot].down) == 0 {
		return false, nil
	}
	l := w.ownLink(w.links[slot].id)
	f := l.down[0]
	l.down = l.down[1:]
	n := int(l.client)
	token, received := w.clients[n].token, w.clients[n].end.Inbox.received
	verdict, err := w.ownClient(n).Receive(l.id, f)
	if err != nil {
		return w.clientFails(n, fmt.Errorf("%v by link %d: %w", f.Kind, l.id, err))
	}
	switch {
	case f.Kind == Welcome && verdict == Taken:
		w.clients[n].token = f.Generation
	case f.Kind == Data && verdict == Taken && f.Epoch.Generation() < token:
		return false, fmt.Errorf("client %d takes message %d of generation %v, but was welcomed with %d", n, f.Seq, f.Epoch, token)
	case f.Kind == Data && verdict == Duplicate && f.Seq <= l.had && !f.Message.ends():
		return false, fmt.Errorf("client %d gets message %d again", n, f.Seq)
	case f.Kind == Data && verdict == Taken && f.Seq != received+1:
		return false, fmt.Errorf("client %d takes message %d after %d", n, f.Seq, received)
	}
	for c := w.clients[n].end; !w.plan.lazy && c.Inbox.Waiting() > 0; {
		if err := w.takeClient(n); err != nil {
			return false, err
		}
		c = w.clients[n].end
	}
	return true, nil
}

// clientFails ends a client to which a peer broke a rule: only when somebody has its token may that be.
func (w *legWorld) clientFails(n int, err error) (bool, error) {
	if w.theft == 0 {
		return false, fmt.Errorf("client %d: %w", n, err)
	}
	w.clients[n].lost = true
	for _, l := range w.links {
		if int(l.client) == n {
			w.leave(l.id)
		}
	}
	return true, nil
}

// deliverUp lets the oldest frame that the client sent by the link arrive. A Hello is passed on via that path of the relay.
func (w *legWorld) deliverUp(slot int, choice wire) (bool, error) {
	if slot >= len(w.links) || len(w.links[slot].up) == 0 {
		return false, nil
	}
	l := w.ownLink(w.links[slot].id)
	f := l.up[0]
	l.up = l.up[1:]
	by, ok := w.firstPath(int(l.relay), choice*relays+wire(l.relay))
	switch {
	case choice > 0 && (f.Kind != Hello || !ok):
		return false, nil
	case f.Kind == Hello && !ok: // no app server there
		w.drop(l.id)
		return true, nil
	}
	if err := w.fromClient(*l, f, by); err != nil {
		return false, fmt.Errorf("%v by link %d: %w", f.Kind, l.id, err)
	}
	return true, nil
}

// deliverToApp lets the oldest frame on the wire arrive.
func (w *legWorld) deliverToApp(by wire) (bool, error) {
	if len(w.paths[by].toApp) == 0 {
		return false, nil
	}
	f := w.paths[by].toApp[0]
	w.paths[by].toApp = w.paths[by].toApp[1:]
	before := w.app
	verdict, err := w.ownApp().Receive(appPath(by), f)
	if err == nil {
		err = w.checkAppTook(before, f, verdict)
	}
	if err != nil {
		return false, fmt.Errorf("%s via %v: %w", describeFrame(f), by, err)
	}
	for path, reply, ok := w.app.Reply(); ok; path, reply, ok = w.app.Reply() {
		w.sendToRelay(wire(path-appPath(0)), reply)
	}
	for !w.plan.lazy && w.app.Inbox.Waiting() > 0 {
		if err := w.takeApp(); err != nil {
			return false, err
		}
	}
	return true, nil
}

func (w *legWorld) deliverToRelay(by wire) (bool, error) {
	if len(w.paths[by].toRelay) == 0 {
		return false, nil
	}
	f := w.paths[by].toRelay[0]
	w.paths[by].toRelay = w.paths[by].toRelay[1:]
	verdict, err := w.fromApp(by, f)
	if err == nil && verdict == Duplicate {
		err = errors.New("doubled")
	}
	if err != nil {
		return false, fmt.Errorf("%s via %v: %w", describeFrame(f), by, err)
	}
	return true, nil
}
