package ordering

import (
	"crypto/sha256"
	"reflect"
	"slices"
	"testing"
)

// fingerprint is equal for two worlds only when they behave alike from there on.
type fingerprint [16]byte

// fingerprint writes the world into buf, which it returns for reuse. Left out is only what check proves
// to follow from the rest: the byte counts.
func (w *world) fingerprint(buf []byte) (fingerprint, []byte) {
	b := append(buf[:0], w.moves, w.delivered[0], w.delivered[1], bits(w.gone[0], w.gone[1], w.app != nil))
	b = w.relay.encode(b)
	if w.app != nil {
		b = w.app.encode(b)
	}
	for _, flights := range w.flight {
		for _, frames := range flights {
			b = append(b, byte(len(frames)))
			for _, f := range frames {
				b = f.encode(b)
			}
		}
	}
	sum := sha256.Sum256(b)
	return fingerprint(sum[:len(fingerprint{})]), b
}

func (i *Initiator) encode(b []byte) []byte {
	b = append(b, byte(i.state), byte(i.previous), byte(i.inEpoch), byte(i.inPath))
	return i.end.encode(b)
}

func (r *Responder) encode(b []byte) []byte {
	b = append(b, byte(r.state), byte(r.target), byte(r.nextEpoch))
	return r.end.encode(b)
}

func (e *end) encode(b []byte) []byte {
	b = append(b, byte(e.epoch), byte(e.path), byte(len(e.control)))
	for _, c := range e.control {
		b = c.frame.encode(append(b, byte(c.path)))
	}
	o := &e.Outbox
	b = append(b, byte(o.acked), byte(o.sent), byte(o.pushed), byte(o.ended), bits(o.paused))
	b = encodeMessages(b, o.retained.items[o.retained.head:])
	in := &e.Inbox
	b = append(b, byte(in.received), byte(in.taken), byte(in.consumed), byte(in.reported),
		byte(in.ended), byte(in.endedAt), bits(in.confirm))
	b = encodeMessages(b, in.ready.items[in.ready.head:])
	b = encodeMessages(b, in.buffer)
	if len(in.buffer) > 0 {
		b = append(b, byte(in.buffered))
	}
	return b
}

func (f Frame) encode(b []byte) []byte {
	b = append(b, byte(f.Kind), byte(f.Epoch), byte(f.Seq), byte(f.Consumed))
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
		{reflect.TypeFor[Initiator](), []string{"end", "state", "previous", "inEpoch", "inPath"}},
		{reflect.TypeFor[Responder](), []string{"end", "state", "target", "nextEpoch"}},
		{reflect.TypeFor[end](), []string{"Outbox", "Inbox", "epoch", "path", "control"}},
		{reflect.TypeFor[Outbox](), []string{"retained", "acked", "sent", "pushed", "bytes", "window", "paused", "ended"}},
		{reflect.TypeFor[Inbox](), []string{
			"ready", "buffer", "received", "buffered", "taken", "consumed", "reported",
			"takenBytes", "consumedBytes", "outstanding", "window", "ended", "endedAt", "confirm",
		}},
		{reflect.TypeFor[queue](), []string{"items", "head"}},
		{reflect.TypeFor[controlFrame](), []string{"path", "frame"}},
		{reflect.TypeFor[Frame](), []string{"Message", "Epoch", "Seq", "Consumed", "Kind"}},
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
