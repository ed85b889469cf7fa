package ordering

import (
	"crypto/sha256"
	"slices"
)

// fingerprint writes the world into buf, which it returns for reuse. Left out is only what check proves to follow from the rest,
// the byte counts, and the names of links: what matters of them is their order.
func (w *legWorld) fingerprint(buf []byte) (fingerprint, []byte) {
	b := append(buf[:0], w.delivered, byte(w.known),
		w.joins, w.abandons, w.linkCuts, w.pathCuts, w.deaths, w.timeouts, w.moves, w.theft)
	for _, c := range w.clients {
		b = append(b, bits(c.end != nil, c.lost), byte(c.token), c.delivered)
		if c.end != nil {
			b = w.encodeClient(b, c.end)
		}
	}
	for _, r := range w.relays {
		b = append(b, byte(r.known), bits(r.dead))
		for _, e := range r.ends {
			b = append(b, bits(e.end != nil))
			if e.end != nil {
				b = append(b, w.slot(e.link), byte(e.said))
				b = e.end.encodeLeg(b)
			}
		}
	}
	b = w.app.encodeLeg(b)
	for _, p := range w.paths {
		b = append(b, bits(p.cut, p.noticed))
		b = encodeFrames(encodeFrames(b, p.toApp), p.toRelay)
	}
	for _, l := range w.links {
		b = append(b, l.relay, l.client, byte(l.had), bits(l.cut, l.clientGone, l.relayGone, l.final))
		b = encodeFrames(encodeFrames(b, l.up), l.down)
	}
	sum := sha256.Sum256(b)
	return fingerprint(sum[:len(fingerprint{})]), b
}

// slot says which of the links that there are it is, 0 for none.
func (w *legWorld) slot(id Path) byte {
	return byte(slices.IndexFunc(w.links, func(l link) bool { return l.id == id }) + 1)
}

func (w *legWorld) encodeClient(b []byte, c *Client) []byte {
	b = append(b, w.slot(c.link), w.slot(c.joining), bits(c.greet, c.asked, c.welcomed), byte(c.told), byte(c.via), byte(c.said))
	return (&end{Outbox: c.Outbox, Inbox: c.Inbox}).encode(b)
}

func (i *Initiator) encodeLeg(b []byte) []byte {
	b = append(b, byte(i.state), bits(i.confirmed), byte(i.token), byte(i.refusal),
		byte(i.path), byte(i.previous), byte(i.inPath), byte(i.inEpoch.Generation()), byte(i.inEpoch.Move()))
	return i.end.encodeLeg(b)
}

func (r *Responder) encodeLeg(b []byte) []byte {
	b = append(b, byte(r.state), byte(r.path), byte(r.target), byte(r.welcomed))
	b = append(b, byte(r.nextEpoch.Generation()), byte(r.nextEpoch.Move()))
	return r.end.encodeLeg(b)
}

func (e *end) encodeLeg(b []byte) []byte {
	o := &e.Outbox
	b = append(b, byte(e.epoch.Generation()), byte(o.base), byte(o.top), byte(e.Inbox.base), bits(e.welcomed, e.Inbox.numbered))
	b = append(b, byte(o.baseBytes), byte(o.baseBytes>>8), byte(o.window), byte(o.window>>8))
	b = append(b, byte(len(e.control)))
	for _, c := range e.control {
		b = c.frame.encodeLeg(append(b, byte(c.path)))
	}
	return e.encode(b)
}

func encodeFrames(b []byte, fs []Frame) []byte {
	b = append(b, byte(len(fs)))
	for _, f := range fs {
		b = f.encodeLeg(b)
	}
	return b
}

func (f Frame) encodeLeg(b []byte) []byte {
	b = append(b, byte(f.Epoch.Generation()), byte(f.Generation), byte(f.Ended), byte(f.Refusal), bits(f.Welcomed))
	b = append(b, byte(f.Window), byte(f.Window>>8), byte(f.Outstanding), byte(f.Outstanding>>8))
	return f.encode(b)
}
