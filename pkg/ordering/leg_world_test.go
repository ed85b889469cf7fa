package ordering

import (
	"fmt"
	"slices"
)

// legPlan is what the explorer runs through every interleaving of for the whole chain: client, relays, app server.
type legPlan struct {
	name string
	// up are the messages that the client pushes, down those of the app. Their kinds and first bytes tell them apart.
	up, down []Message
	// joins is how often the client begins to join another relay while it has a link, abandons how often it gives that up. A client
	// that has no link, or has asked and got no answer, joins as often as it takes.
	joins, abandons int
	// linkCuts and pathCuts are how many links and paths are cut, deaths how many relays die, timeouts how often a relay's end gives
	// up its path, moves how often one is migrated.
	linkCuts, pathCuts, deaths, timeouts, moves int
	// paths is how many there are: A to relay 0, B to relay 1, C to relay 0.
	paths wire
	// window is the window of both directions, in bytes.
	window int
	// floor is the least number of states: less means that the plan lost some of its worlds.
	floor int
	// lazy makes taking a message a step of its own, at both ends; else it happens as the message arrives.
	lazy bool
	// slow makes giving a writer of the client or the app something to send a step of its own; else it gets at once all but
	// receipts that may wait.
	slow bool
	// exact keeps in flight what is stale: to prove that to do else loses nothing.
	exact bool
	// amnesia has a relay forget the generations of the ends that it has let go of.
	amnesia bool
	// thefts is how often somebody else gets a copy of all that the client has.
	thefts int
}

const (
	relays  = 2
	clients = 2
	// maxLinks bounds the links that are there at the same time.
	maxLinks = 8
)

// legWorld is one logical connection from its client to its app, with all that is in flight between. Worlds share what they point
// to: a step changes nothing but what it took with a method whose name begins with own.
type legWorld struct {
	plan    *legPlan
	clients [clients]legClient
	relays  [relays]legRelay
	app     *Responder
	paths   [wires]legPath
	// links are in the order in which they were made; lastLink is the newest.
	links    []link
	lastLink Path
	// delivered counts the messages that the app took, by the count of the checker.
	delivered uint8
	// known is the newest generation whose client has taken its Welcome, as far as the app was told.
	known                                                               uint32
	joins, abandons, linkCuts, pathCuts, deaths, timeouts, moves, theft uint8
}

// legClient is a client: the first is the owner of the connection, any other has stolen what that one had.
type legClient struct {
	end *Client
	// token is the generation of the token that it was given last.
	token     uint32
	delivered uint8
	// lost: it was told that it cannot have the connection any more.
	lost bool
}

// legRelay is a relay: of one connection it has the end that carries it, and the end that is to.
type legRelay struct {
	// known is the newest generation that it has heard of.
	known uint32
	ends  [2]legEnd
	dead  bool
}

// The ends of a relay.
const (
	current = iota
	challenger
)

type legEnd struct {
	end *Initiator
	// link is the client's, or 0; said is what was said to it in receipts.
	link Path
	said uint64
}

// legPath is a server connection. What is in flight on one that is cut still arrives at the app, until it is lost; the relay does
// not know that it is cut until it has noticed, and then gets no more.
type legPath struct {
	toApp, toRelay []Frame
	cut, noticed   bool
}

// link is a client's stream to a relay.
type link struct {
	id            Path
	relay, client uint8
	// had is what the client had received when it came by the link.
	had      uint64
	up, down []Frame
	// cut: nothing more gets in. clientGone, relayGone: that end has let go of it; of what the relay sent before, the client gets
	// all, and the relay any prefix of what the client sent. final: the relay says that the client cannot have the connection.
	cut, clientGone, relayGone, final bool
}

// newLegWorld returns a connection that was opened via path A for a client of relay 0, which has its Welcome.
func newLegWorld(p *legPlan) *legWorld {
	w := &legWorld{plan: p, known: 1, lastLink: 1}
	i := NewInitiator(relayPath(0), p.window)
	i.Number()
	open, _ := i.Next(relayPath(0))
	w.app = NewResponder(appPath(0), open, p.window)
	confirm, _ := w.app.Next(appPath(0))
	if _, err := i.Receive(relayPath(0), confirm); err != nil {
		panic(err)
	}
	w.relays[0] = legRelay{known: 1, ends: [2]legEnd{{end: i, link: 1}}}
	w.clients[0] = legClient{end: NewClient(1, p.window), token: 1}
	w.links = []link{{id: 1}}
	for by := p.paths; by < wires; by++ {
		w.paths[by].cut, w.paths[by].noticed = true, true
	}
	return w
}

// relayPath and appPath return the path by which the relay or the app knows the wire.
func relayPath(by wire) Path { return Path(by) + 1 }
func appPath(by wire) Path   { return Path(by) + 11 }

// relayOf returns the relay that the wire leads to.
func relayOf(by wire) int { return int(by) % relays }

// alive reports whether the relay has a path of which it does not know that it is cut.
func (w *legWorld) alive(relay int) bool {
	_, ok := w.firstPath(relay, 0)
	return ok && !w.relays[relay].dead
}

// firstPath returns the first wire of the relay, of those from the given one on, that it does not know to be cut.
func (w *legWorld) firstPath(relay int, from wire) (wire, bool) {
	for by := from; by < wires; by++ {
		if relayOf(by) == relay && !w.paths[by].noticed {
			return by, true
		}
	}
	return 0, false
}

func (w *legWorld) ownClient(n int) *Client {
	w.clients[n].end = w.clients[n].end.clone()
	return w.clients[n].end
}

func (w *legWorld) ownEnd(relay, which int) *legEnd {
	e := &w.relays[relay].ends[which]
	e.end = e.end.clone()
	return e
}

func (w *legWorld) ownApp() *Responder {
	w.app = w.app.clone()
	return w.app
}

// ownLink returns the link, or nil when there is none of that name.
func (w *legWorld) ownLink(id Path) *link {
	for n := range w.links {
		if w.links[n].id == id {
			w.links = slices.Clone(w.links)
			return &w.links[n]
		}
	}
	return nil
}

// sendTo puts the frame in flight to the app or the relay. On a path that is cut it is lost, and its sender does not know.
func (w *legWorld) sendToApp(by wire, f Frame) {
	if p := &w.paths[by]; !p.cut {
		p.toApp = with(p.toApp, f)
	}
}

func (w *legWorld) sendToRelay(by wire, f Frame) {
	if p := &w.paths[by]; !p.cut {
		p.toRelay = with(p.toRelay, f)
	}
}

func with(q []Frame, f Frame) []Frame { return append(q[:len(q):len(q)], f) }

// sendDown gives the client a frame by the link; sendUp gives one to its relay.
func (w *legWorld) sendDown(id Path, f Frame) {
	if l := w.ownLink(id); l != nil && !l.cut && !l.clientGone && !l.relayGone {
		l.down = with(l.down, f)
	}
}

func (w *legWorld) sendUp(id Path, f Frame) {
	if l := w.ownLink(id); l != nil && !l.cut && !l.clientGone && !l.relayGone {
		l.up = with(l.up, f)
	}
}

// leave has the client let go of the link, drop the relay.
func (w *legWorld) leave(id Path) {
	if l := w.ownLink(id); l != nil {
		l.clientGone, l.down = true, nil
		w.ownClient(int(l.client)).Leave(id)
	}
}

func (w *legWorld) drop(id Path) {
	if l := w.ownLink(id); l != nil {
		l.relayGone, l.up = true, nil
		for which := range w.relays[l.relay].ends {
			if e := &w.relays[l.relay].ends[which]; e.link == id {
				e.link, e.said = 0, 0
			}
		}
	}
}

// forgetLinks removes links that nobody has.
func (w *legWorld) forgetLinks() {
	gone := func(l link) bool { return l.clientGone && l.relayGone }
	if slices.ContainsFunc(w.links, gone) {
		w.links = slices.DeleteFunc(slices.Clone(w.links), gone)
	}
}

// takeApp takes the next message at the app, takeClient at the client, and checks that it is the one that was sent next.
func (w *legWorld) takeApp() error {
	if err := takeNext(&w.ownApp().Inbox, w.plan.up, &w.delivered); err != nil {
		return fmt.Errorf("app: %w", err)
	}
	return nil
}

func (w *legWorld) takeClient(n int) error {
	if err := takeNext(&w.ownClient(n).Inbox, w.plan.down, &w.clients[n].delivered); err != nil {
		return fmt.Errorf("client %d: %w", n, err)
	}
	return nil
}

func takeNext(in *Inbox, want []Message, delivered *uint8) error {
	m, ok := in.Take()
	if !ok {
		return fmt.Errorf("nothing to take")
	}
	in.Consume()
	if int(*delivered) >= len(want) || !sameMessage(m, want[*delivered]) {
		return fmt.Errorf("took %s as message %d", describe(m), *delivered+1)
	}
	*delivered++
	return nil
}

func (c *Client) clone() *Client {
	d := *c
	d.Outbox, d.Inbox = *c.Outbox.clone(), *c.Inbox.clone()
	return &d
}
