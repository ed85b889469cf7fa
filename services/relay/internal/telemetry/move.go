package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/holdfast/holdfast/pkg/trail"
)

// Move follows one handoff or resume from its beginning to its end. The nil Move is one that nobody follows. Like its Trail it
// is guarded by the lock of its connection, and ended without that.
type Move struct {
	counters *Counters
	trail    *trail.Trail
	mode     string
	// sent, answered and acked are when the first frame of the move was sent, the answer to it came, and the Ack was sent.
	sent, answered, acked time.Time
}

// Begin begins to follow a move. One that does not come about is just let go of. Without counters nobody follows it.
func (c *Counters) Begin(mode string) *Move {
	if c == nil {
		return nil
	}
	return &Move{counters: c, mode: mode, trail: trail.Start(context.Background(), c.tracer, trace.SpanKindClient)}
}

// Expect shows moves that end like this from 0 on, so that the first ones are seen to be more than before.
func (c *Counters) Expect(theMode, why, how string) {
	c.moves.Add(context.Background(), 0, metric.WithAttributes(mode.String(theMode), reason.String(why), outcome.String(how)))
}

// Noted notes a step that was done before the move began. A zero time says that there was none.
func (m *Move) Noted(s trail.Step, at time.Time) {
	if m != nil {
		m.trail.NoteAt(s, at)
	}
}

// Sent notes that the frame that begins the move is sent.
func (m *Move) Sent() {
	if m == nil {
		return
	}
	m.sent = time.Now()
	if m.mode == trail.ModeHandoff {
		m.trail.NoteAt(trail.MigrateSent, m.sent)
	} else {
		m.trail.NoteAt(trail.ResumeSent, m.sent)
	}
}

// WithAck notes step 6 of a handoff.
func (m *Move) WithAck() {
	if m == nil {
		return
	}
	m.answered = time.Now()
	m.trail.NoteAt(trail.WithAckReceived, m.answered)
}

// Acked notes step 7 of a handoff.
func (m *Move) Acked() {
	if m == nil {
		return
	}
	m.acked = time.Now()
	m.trail.NoteAt(trail.AckSent, m.acked)
}

// Parent returns the trace context for the app server; empty when the move is not traced.
func (m *Move) Parent() string {
	if m == nil {
		return ""
	}
	return m.trail.Parent()
}

// Ended says how a move ended.
type Ended struct {
	Reason, Outcome string
	// Well: the connection runs over the target, and its messages were held up for Paused. Failed: it has to be resumed. A
	// move whose connection ended first is neither.
	Well, Failed bool
	Paused       time.Duration
	// At is when.
	At time.Time
	// Attributes are for the trace.
	Attributes []attribute.KeyValue
}

// Settled notes the last step of a move that ended well.
func (m *Move) Settled(now time.Time) {
	switch {
	case m == nil:
	case m.mode == trail.ModeHandoff:
		m.trail.NoteAt(trail.ReceiptReceived, now)
	default:
		m.answered = now
		m.trail.NoteAt(trail.AnswerReceived, now)
		m.trail.NoteAt(trail.Replayed, now)
	}
}

// Traced reports whether somebody traces the move.
func (m *Move) Traced() bool { return m != nil && m.trail != nil }

// End counts the move, records how long its phases took, and ends its span. It must be called without locks, once.
func (m *Move) End(e Ended) {
	if m == nil {
		return
	}
	c, ctx := m.counters, m.trail.Context()
	c.moves.Add(ctx, 1, metric.WithAttributes(mode.String(m.mode), reason.String(e.Reason), outcome.String(e.Outcome)))
	record := func(name string, from, to time.Time) {
		if !from.IsZero() && !to.Before(from) {
			c.phases.Record(ctx, to.Sub(from).Seconds(), metric.WithAttributes(phase.String(name)))
		}
	}
	if m.mode == trail.ModeHandoff {
		record("migrate_to_with_ack", m.sent, m.answered)
		if e.Well {
			record("ack_to_receipt", m.acked, e.At)
		}
	} else {
		record("resume", m.sent, m.answered)
	}
	if e.Well {
		c.pauses.Record(ctx, e.Paused.Seconds(), metric.WithAttributes(mode.String(m.mode)))
	}
	m.trail.End(e.Outcome, e.Failed, append(e.Attributes, trail.Mode.String(m.mode), trail.Reason.String(e.Reason))...)
}
