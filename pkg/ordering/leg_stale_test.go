package ordering

import "slices"

// dropStale removes from flight what its receiver drops now and for ever, and what would make no difference to it: that it is
// so, the receiver itself says. A client lets go of a link that it does not need and that has nothing more for it.
func (w *legWorld) dropStale() {
	if w.plan.exact {
		return
	}
	for by := range wire(wires) {
		p := &w.paths[by]
		p.toApp = without(p.toApp, w.staleToApp(appPath(by)))
		p.toRelay = without(p.toRelay, w.staleToRelay(relayOf(by)))
	}
	for _, l := range w.links {
		c := w.clients[l.client].end
		if l.clientGone || l.id == c.link || l.id == c.joining {
			continue
		}
		if down := without(l.down, w.staleToClient(int(l.client), l.id)); len(down) == 0 {
			w.leave(l.id)
		} else {
			w.ownLink(l.id).down = down
		}
	}
}

func without(q []Frame, stale func(Frame) bool) []Frame {
	if slices.ContainsFunc(q, stale) {
		return slices.DeleteFunc(slices.Clone(q), stale)
	}
	return q
}

// staleToApp tells messages and receipts of a generation that has lost the connection.
func (w *legWorld) staleToApp(path Path) func(Frame) bool {
	return func(f Frame) bool {
		if (f.Kind != Data && f.Kind != Receipt) || f.Epoch.Generation() >= w.app.Epoch().Generation() {
			return false
		}
		probe := w.app.clone()
		verdict, err := probe.Receive(path, f)
		return err == nil && verdict == StaleEpoch && string(probe.encodeLeg(nil)) == string(w.app.encodeLeg(nil))
	}
}

// staleToRelay tells frames for which the relay has no end, and will have none.
func (w *legWorld) staleToRelay(relay int) func(Frame) bool {
	r := &w.relays[relay]
	return func(f Frame) bool {
		for _, e := range r.ends {
			if e.end != nil && f.Epoch.Generation() == e.end.Epoch().Generation() {
				return false
			}
		}
		return !w.plan.amnesia && f.Epoch.Generation() <= r.known
	}
}

// staleToClient tells what comes by a link that does not carry the connection any more.
func (w *legWorld) staleToClient(n int, id Path) func(Frame) bool {
	return func(f Frame) bool {
		probe := w.clients[n].end.clone()
		_, err := probe.Receive(id, f)
		return err == nil && string(w.encodeClient(nil, probe)) == string(w.encodeClient(nil, w.clients[n].end))
	}
}
