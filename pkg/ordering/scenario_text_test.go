package ordering

import (
	"fmt"
	"slices"
	"strings"
)

// show prints the states that changed since they were shown last.
func (s *scenario) show() {
	for _, of := range []side{relay, app} {
		if now := s.placement(of); now != s.shown[of] {
			s.shown[of] = now
			s.printf("    %v: %s", of, now)
		}
	}
}

func (s *scenario) placement(of side) string {
	w := s.w
	if w.end(of) == nil {
		return "none"
	}
	if of == app {
		text := fmt.Sprintf("%v, sends %v via %v", w.app.State(), w.app.Epoch(), app.wire(w.app.Path()))
		if w.app.Target() != 0 {
			text += fmt.Sprintf(", buffers %v via %v", w.app.nextEpoch, app.wire(w.app.Target()))
		}
		return text + placementSuffix(&w.app.end)
	}
	text := w.relay.State().String()
	if w.relay.Path() != 0 {
		text += fmt.Sprintf(", sends %v via %v, takes %v via %v", w.relay.Epoch(), relay.wire(w.relay.Path()),
			w.relay.inEpoch, relay.wire(w.relay.inPath))
	}
	return text + placementSuffix(&w.relay.end)
}

func placementSuffix(e *end) string {
	var text string
	if e.Outbox.paused {
		text += ", outbox paused"
	}
	if n := e.Inbox.Held(); n > 0 {
		text += fmt.Sprintf(", %d held", n)
	}
	if e.Done() {
		text += ", done"
	}
	return text
}

// state prints the outboxes and inboxes.
func (s *scenario) state() {
	for _, of := range []side{relay, app} {
		if e := s.w.end(of); e != nil {
			s.printf("%v outbox: pushed %d, sent %d, acked %d, %d bytes", of,
				e.Outbox.Pushed(), e.Outbox.sent, e.Outbox.Acked(), e.Outbox.Bytes())
			s.printf("%v inbox: received %d, held %d, waiting %d, consumed %d, reported %d, %d bytes", of,
				e.Inbox.Received(), e.Inbox.Held(), e.Inbox.Waiting(), e.Inbox.Consumed(), e.Inbox.reported, e.Inbox.Bytes())
		}
	}
}

func describeFrame(f Frame) string {
	text := fmt.Sprintf("%v %v", f.Kind, f.Epoch)
	if f.Kind == Data {
		text += fmt.Sprintf(" #%d %s", f.Seq, describe(f.Message))
	}
	if f.Kind == Receipt || f.Consumed > 0 {
		text += fmt.Sprintf(" receipt=%d", f.Consumed)
	}
	if f.Kind == Resume || f.Received > 0 {
		text += fmt.Sprintf(" received=%d", f.Received)
	}
	return text
}

func sideNamed(name string) (side, error) {
	for _, s := range []side{relay, app} {
		if s.String() == name {
			return s, nil
		}
	}
	return 0, fmt.Errorf("no side %q", name)
}

func wireNamed(name string) (wire, error) {
	for w := range wire(wires) {
		if w.String() == name {
			return w, nil
		}
	}
	return 0, fmt.Errorf("no path %q", name)
}

// parseFrame reads "<kind> <epoch> [#seq] [payload] [receipt=n] [received=n]".
func parseFrame(words []string) (Frame, error) {
	kind := slices.Index(frameKindNames[:], words[0])
	if kind < 1 {
		return Frame{}, fmt.Errorf("no frame kind %q", words[0])
	}
	var generation, move Epoch
	if _, err := fmt.Sscanf(words[1], "%d.%d", &generation, &move); err != nil {
		return Frame{}, err
	}
	f := Frame{Kind: FrameKind(kind), Epoch: generation<<32 | move}
	for _, word := range words[2:] {
		if err := f.parse(word); err != nil {
			return f, err
		}
	}
	return f, nil
}

func (f *Frame) parse(word string) (err error) {
	switch {
	case word == "":
	case word[0] == '#':
		_, err = fmt.Sscanf(word, "#%d", &f.Seq)
	case strings.HasPrefix(word, "receipt="):
		_, err = fmt.Sscanf(word, "receipt=%d", &f.Consumed)
	case strings.HasPrefix(word, "received="):
		_, err = fmt.Sscanf(word, "received=%d", &f.Received)
	case word == HalfClose.String():
		f.Message = Message{Kind: HalfClose}
	case word == Close.String():
		f.Message = Message{Kind: Close}
	default:
		f.Message = Message{Kind: Text, Payload: []byte(word)}
	}
	return err
}
