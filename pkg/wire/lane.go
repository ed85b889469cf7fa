package wire

import (
	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
)

// Source is an end of a logical connection that a Writer pulls from.
type Source interface {
	// Pull adds to the batch, up to the quantum of frames or until the batch is full, what the source has
	// to send via the lane. It reports whether more stands ready.
	Pull(lane *Lane, batch *Batch, quantum int) bool
}

// End is an end of a logical connection: an ordering.Initiator or an ordering.Responder.
type End interface {
	Next(path ordering.Path) (ordering.Frame, bool)
}

// Pull adds to the batch what the end has to send via the lane, with what extra says of each frame. It is what a Source does
// in its Pull, under its lock. It reports false only when the end had nothing more: a receipt alone counts as well.
func (l *Lane) Pull(batch *Batch, quantum int, id uint64, end End, extra func(ordering.Frame) Extra) (more bool) {
	for range quantum {
		if batch.Full() {
			return true
		}
		f, ok := end.Next(l.path)
		if !ok {
			return false
		}
		batch.Add(id, f, extra(f))
	}
	return true
}

// Lane joins a Source to the Writer of one server connection.
type Lane struct {
	// Set once.
	writer *Writer
	source Source
	path   ordering.Path

	// Guarded by writer.mu: in which of the writer's lists the lane stands.
	queued, urgent, owing bool
}

// NewLane joins the source to the writer.
func NewLane(w *Writer, s Source) *Lane { return &Lane{writer: w, source: s, path: w.path} }

// Path returns the path that the lane's writer writes to.
func (l *Lane) Path() ordering.Path { return l.path }

// Ready asks the writer to pull from the lane: before those that stand ready already when urgent.
func (l *Lane) Ready(urgent bool) { l.writer.ready(l, urgent) }

// Owe asks the writer to pull from the lane within the receipt delay, when nothing else makes it do so.
func (l *Lane) Owe() { l.writer.owe(l) }

// Reply sends a frame that belongs to no source's order: an answer for an unknown connection, or a reject.
func (l *Lane) Reply(f *holdfastv1.Frame) { l.writer.Reply(f) }

// lanes is a first-in first-out list that reuses its room.
type lanes struct {
	items []*Lane
	head  int
}

func (l *lanes) empty() bool { return l.head == len(l.items) }

func (l *lanes) push(lane *Lane) {
	if l.head > 64 && l.head > len(l.items)/2 {
		n := copy(l.items, l.items[l.head:])
		clear(l.items[n:])
		l.items, l.head = l.items[:n], 0
	}
	l.items = append(l.items, lane)
}

func (l *lanes) pop() *Lane {
	lane := l.items[l.head]
	l.items[l.head] = nil
	l.head++
	if l.head == len(l.items) {
		l.items, l.head = l.items[:0], 0
	}
	return lane
}
