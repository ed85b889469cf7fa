package ordering

// join has a client with a link begin to join a relay.
func (w *legWorld) join(n, relay int) (bool, error) {
	if c := w.clients[n].end; int(w.joins) == w.plan.joins || c == nil || c.joining != 0 {
		return false, nil
	}
	w.joins++
	return w.hail(n, relay), nil
}

// comeBack has a client join that cannot go on without.
func (w *legWorld) comeBack(n, relay int) (bool, error) {
	if c := w.clients[n].end; w.theft > 0 || c == nil || c.joining != 0 || (c.link != 0 && !c.asked) {
		return false, nil
	}
	return w.hail(n, relay), nil
}

// hail sends a Hello by a new link, unless the client is done.
func (w *legWorld) hail(n, relay int) bool {
	if w.clients[n].lost || w.clients[n].end.Done() || !w.alive(relay) || len(w.links) == maxLinks {
		return false
	}
	w.lastLink++
	id := w.lastLink
	c := w.ownClient(n)
	l := link{id: id, relay: uint8(relay), client: uint8(n), had: c.Inbox.received}
	w.links = append(w.links[:len(w.links):len(w.links)], l)
	c.Join(id)
	f, _ := c.Next(id)
	f.Generation = w.clients[n].token
	w.sendUp(id, f)
	return true
}

// abandon has the client give up the join that is under way.
func (w *legWorld) abandon(n int) (bool, error) {
	if c := w.clients[n].end; int(w.abandons) == w.plan.abandons || c == nil || c.joining == 0 {
		return false, nil
	}
	w.abandons++
	w.leave(w.clients[n].end.joining)
	return true, nil
}

// steal gives somebody else a copy of all that the client has.
func (w *legWorld) steal(n int) (bool, error) {
	if int(w.theft) == w.plan.thefts {
		return false, nil
	}
	w.theft++
	w.clients[n] = w.clients[0]
	thief := w.ownClient(n)
	thief.Leave(thief.link)
	thief.Leave(thief.joining)
	return true, nil
}

// cutLink breaks a link. What is in flight on it still arrives, until its ends notice: each direction keeps any prefix.
func (w *legWorld) cutLink(slot int) (bool, error) {
	if int(w.linkCuts) == w.plan.linkCuts || slot >= len(w.links) || w.links[slot].cut {
		return false, nil
	}
	if l := w.links[slot]; l.clientGone || l.relayGone {
		return false, nil
	}
	w.linkCuts++
	w.ownLink(w.links[slot].id).cut = true
	return true, nil
}

// clientEnds has the client let go of a link: of one that was cut, that its relay has ended, or that it does not need any more.
func (w *legWorld) clientEnds(slot int) (bool, error) {
	if slot >= len(w.links) {
		return false, nil
	}
	l := w.links[slot]
	c := w.clients[l.client].end
	needless := l.id != c.link && l.id != c.joining
	if l.clientGone || !(l.cut || needless || (l.relayGone && len(l.down) == 0)) {
		return false, nil
	}
	if l.final {
		w.clients[l.client].lost = true
	}
	w.leave(l.id)
	return true, nil
}

// relayEnds has the relay see that a link is gone. What has not arrived by then is lost.
func (w *legWorld) relayEnds(slot int) (bool, error) {
	if slot >= len(w.links) || w.links[slot].relayGone || !(w.links[slot].cut || w.links[slot].clientGone) {
		return false, nil
	}
	w.drop(w.links[slot].id)
	return true, nil
}

// cutPath breaks a server connection.
func (w *legWorld) cutPath(by wire) (bool, error) {
	if int(w.pathCuts) == w.plan.pathCuts || w.paths[by].cut {
		return false, nil
	}
	w.pathCuts++
	w.paths[by].cut = true
	return true, nil
}

// losePath loses what has not arrived at the app by a wire that is cut.
func (w *legWorld) losePath(by wire) (bool, error) {
	if !w.paths[by].cut || len(w.paths[by].toApp) == 0 {
		return false, nil
	}
	w.paths[by].toApp = nil
	return true, nil
}

// noticePath lets the relay learn that a wire is cut.
func (w *legWorld) noticePath(by wire) (bool, error) {
	if !w.paths[by].cut || w.paths[by].noticed {
		return false, nil
	}
	w.paths[by].noticed, w.paths[by].toRelay = true, nil
	for which, e := range w.relays[relayOf(by)].ends {
		if e.end != nil && e.end.Uses(relayPath(by)) {
			w.ownEnd(relayOf(by), which).end.Park()
		}
	}
	return true, nil
}

// die loses all that the relay has.
func (w *legWorld) die(relay int) (bool, error) {
	if int(w.deaths) == w.plan.deaths || w.relays[relay].dead {
		return false, nil
	}
	w.deaths++
	w.relays[relay] = legRelay{dead: true}
	for by := range wire(wires) {
		if relayOf(by) == relay {
			w.paths[by].cut, w.paths[by].noticed, w.paths[by].toRelay = true, true, nil
		}
	}
	for _, l := range w.links {
		if int(l.relay) == relay {
			w.ownLink(l.id).cut = true
			w.drop(l.id)
		}
	}
	return true, nil
}

// giveUp has the end of the relay give up whatever goes on: a path in use may be half-open.
func (w *legWorld) giveUp(relay, which int) (bool, error) {
	e := w.relays[relay].ends[which].end
	if int(w.timeouts) == w.plan.timeouts || e == nil || e.State() == Parked {
		return false, nil
	}
	w.timeouts++
	w.ownEnd(relay, which).end.Park()
	return true, nil
}

// resumeVia takes up a parked end via the wire.
func (w *legWorld) resumeVia(by wire, which int) (bool, error) {
	relay := relayOf(by)
	if e := w.relays[relay].ends[which].end; e == nil || e.State() != Parked || w.paths[by].noticed {
		return false, nil
	}
	e := w.ownEnd(relay, which)
	err := e.end.Resume(relayPath(by))
	w.relays[relay].known = max(w.relays[relay].known, e.end.Epoch().Generation())
	return true, err
}

// migrateTo begins a graceful move to the wire.
func (w *legWorld) migrateTo(by wire) (bool, error) {
	relay := relayOf(by)
	e := w.relays[relay].ends[current].end
	if int(w.moves) == w.plan.moves || e == nil || w.paths[by].noticed {
		return false, nil
	}
	if probe := *e; probe.Migrate(relayPath(by)) != nil {
		return false, nil
	}
	w.moves++
	return true, w.ownEnd(relay, current).end.Migrate(relayPath(by))
}
