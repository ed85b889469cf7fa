package ordering

import (
	"bytes"
	"crypto/sha256"
	"reflect"
	"slices"
	"testing"
)

// fingerprint is equal for two worlds only when they behave alike from there on.
type fingerprint [16]byte

// fingerprint writes the world into buf, which it returns for reuse. Left out is what check proves to follow from the rest, the
// byte counts, or to make no difference, the last message that was ever sent; and what only an adoption sets. Which wire is
// which does not matter, as all are alike: worlds that differ only in that have one fingerprint.
func (w *world) fingerprint(buf []byte) (fingerprint, []byte) {
	b := append(buf[:0], byte(w.moves), byte(w.resumes), byte(w.timeouts), byte(w.delivered[0]), byte(w.delivered[1]),
		bits(w.gone[0], w.gone[1], w.app != nil))
	b = append(b, byte(w.relay.state), bits(w.relay.confirmed), byte(w.relay.inEpoch))
	b = w.relay.end.encode(b)
	if w.app != nil {
		b = append(b, byte(w.app.state), byte(w.app.nextEpoch))
		b = w.app.end.encode(b)
	}
	common := len(b)
	var parts [wires][]byte
	for by := range wire(wires) {
		start := len(b)
		b = w.encodeWire(b, by)
		parts[by] = b[start:]
	}
	if !w.plan.apart {
		slices.SortFunc(parts[:], bytes.Compare)
	}
	// The parts in their order stand behind the parts in the order of the wires; what is hashed is the last copy.
	end := len(b)
	b = append(b, b[:common]...)
	for _, part := range parts {
		b = append(b, part...)
	}
	sum := sha256.Sum256(b[end:])
	return fingerprint(sum[:len(fingerprint{})]), b
}

// encodeWire writes all that has to do with the wire.
func (w *world) encodeWire(b []byte, by wire) []byte {
	path := w.path(relay, by)
	b = append(b, bits(w.cut[by], w.noticed[by], w.relay.path == path, w.relay.previous == path, w.relay.inPath == path))
	b = w.relay.encodeControl(b, path)
	if path = w.path(app, by); w.app != nil {
		b = append(b, bits(w.app.path == path, w.app.target == path))
		b = w.app.encodeControl(b, path)
	}
	for _, flights := range w.flight {
		b = append(b, byte(len(flights[by])))
		for _, f := range flights[by] {
			b = f.encode(b)
		}
	}
	return b
}

func (e *end) encodeControl(b []byte, path Path) []byte {
	for _, c := range e.control {
		if c.path == path {
			return c.frame.encode(append(b, 1))
		}
	}
	return append(b, 0)
}

func (e *end) encode(b []byte) []byte {
	b = append(b, byte(e.epoch))
	o := &e.Outbox
	b = append(b, byte(o.acked), byte(o.sent), byte(o.pushed), byte(o.ended), bits(o.paused))
	b = encodeMessages(b, o.retained.items[o.retained.head:])
	in := &e.Inbox
	b = append(b, byte(in.received), byte(in.taken), byte(in.consumed), byte(in.reported),
		byte(in.halfClosed), byte(in.closed), bits(in.confirm))
	b = encodeMessages(b, in.ready.items[in.ready.head:])
	b = encodeMessages(b, in.buffer)
	if len(in.buffer) > 0 {
		b = append(b, byte(in.buffered))
	}
	return b
}

func (f Frame) encode(b []byte) []byte {
	b = append(b, byte(f.Kind), byte(f.Epoch), byte(f.Seq), byte(f.Consumed), byte(f.Received))
	if f.Kind == Data {
		b = encodeMessages(b, []Message{f.Message})
	}
	return b
}

// encodeMessages tells the messages of one plan apart by their kind and first byte.
func encodeMessages(b []byte, ms []Message) []byte {
	b = append(b, byte(len(ms)))
	for _, m := range ms {
		b = append(b, byte(m.Kind))
		if len(m.Payload) > 0 {
			b = append(b, m.Payload[0])
		}
	}
	return b
}

func bits(bs ...bool) byte {
	var n byte
	for i, b := range bs {
		if b {
			n |= 1 << i
		}
	}
	return n
}

// A field that clone and encode do not know of would make the explorer merge worlds that differ.
func TestFingerprintKnowsEveryField(t *testing.T) {
	for _, c := range []struct {
		typ    reflect.Type
		fields []string
	}{
		{reflect.TypeFor[Initiator](), []string{"end", "state", "confirmed", "token", "refusal", "previous", "inEpoch", "inPath"}},
		{reflect.TypeFor[Responder](), []string{"end", "state", "target", "nextEpoch", "welcomed", "replies"}},
		{reflect.TypeFor[end](), []string{"Outbox", "Inbox", "epoch", "path", "welcomed", "control"}},
		{reflect.TypeFor[Client](), []string{
			"Outbox", "Inbox", "link", "joining", "greet", "asked", "told", "via", "said", "saidBytes", "welcomed",
		}},
		{reflect.TypeFor[Outbox](), []string{
			"retained", "acked", "sent", "top", "pushed", "base", "baseBytes", "bytes", "window", "paused", "Freed", "ended",
		}}, // Freed is nil in all worlds
		{reflect.TypeFor[Inbox](), []string{
			"ready", "buffer", "received", "buffered", "taken", "consumed", "reported",
			"takenBytes", "consumedBytes", "outstanding", "window", "halfClosed", "closed", "given", "base", "numbered", "confirm",
		}},
		{reflect.TypeFor[queue](), []string{"items", "head"}},
		{reflect.TypeFor[controlFrame](), []string{"path", "frame"}},
		{reflect.TypeFor[Frame](), []string{
			"Message", "Epoch", "Seq", "Consumed", "Received", "Generation", "Window", "Outstanding", "Kind", "Ended", "Refusal", "Welcomed",
		}},
		{reflect.TypeFor[Message](), []string{"Payload", "Reason", "Kind"}},
	} {
		var got []string
		for f := range c.typ.Fields() {
			got = append(got, f.Name)
		}
		if !slices.Equal(got, c.fields) {
			t.Errorf("%v has the fields %q, clone and encode know %q", c.typ, got, c.fields)
		}
	}
}
