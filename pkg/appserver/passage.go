package appserver

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/trail"
	"github.com/holdfast/holdfast/pkg/wire"
)

// The outcomes of a move, as they stand in metrics and traces.
const (
	outcomeMoved      = "moved"
	outcomeResumed    = "resumed"
	outcomeSuperseded = "superseded" // by a resume
	outcomeEnded      = "connection_ended"
)

// passage is a move that is open, for those who measure and trace: from the frame that begins it to the last one that is sent
// for it. It is guarded by the connection's mu until it is over.
type passage struct {
	// trail is nil when the relay does not trace the move.
	trail            *trail.Trail
	mode             string
	epoch            ordering.Epoch
	previous, target *serverConn // previous is nil when the connection had none left
	// outcome is empty while it is open.
	outcome string
	// paused is for how long a handoff held the outgoing traffic.
	paused time.Duration
}

// newPassage begins one for a frame that may begin a move, and returns nil for any other. It calls out, so that it must not be
// called with the lock.
func (s *Server) newPassage(sc *serverConn, in *wire.Frame) *passage {
	mode, received := trail.ModeResume, trail.ResumeReceived
	switch in.Step.Kind {
	case ordering.Migrate:
		mode, received = trail.ModeHandoff, trail.MigrateReceived
	case ordering.Resume, ordering.Adopt, ordering.Open:
	default:
		return nil
	}
	p := &passage{mode: mode, epoch: in.Step.Epoch, target: sc}
	if parent, traced := trail.Within(in.Rare.GetMigrate().GetTraceparent()); traced {
		p.trail = trail.Start(parent, s.tracer, trace.SpanKindServer)
		p.trail.Note(received)
	}
	return p
}

// sent follows a frame that is sent. It reports whether that was the last one of the move.
func (p *passage) sent(kind ordering.FrameKind) (over bool) {
	switch {
	case kind == ordering.MigrateWithAck && p.mode == trail.ModeHandoff:
		p.trail.Note(trail.WithAckSent)
	case kind == ordering.MigrateWithAck:
		p.trail.Note(trail.AnswerSent)
		p.outcome = outcomeResumed
		return true
	case kind == ordering.Receipt && p.outcome == outcomeMoved:
		p.trail.Note(trail.ReceiptSent)
		return true
	}
	return false
}

// beginPassageLocked begins a move that takes the place of the one that is open, if one is.
func (c *Connection) beginPassageLocked(p *passage) {
	c.endPassageLocked(outcomeSuperseded)
	if len(c.uses) > 0 {
		p.previous = c.uses[0].conn
	}
	c.passage = p
}

// endPassageLocked ends the open move, if there is one, with its outcome, or with the other when it has none.
func (c *Connection) endPassageLocked(otherwise string) {
	p := c.passage
	if p == nil {
		return
	}
	if p.outcome == "" {
		p.outcome = otherwise
	}
	c.passage, c.passed = nil, append(c.passed, p)
}

// passedLocked takes out the moves that are over, to be told. One that is open ends with its connection.
func (c *Connection) passedLocked() []*passage {
	if c.gone {
		c.endPassageLocked(outcomeEnded)
	}
	passed := c.passed
	c.passed = nil
	return passed
}

// tell says how a move ended. It calls out, so that it must not be called with the lock.
func (p *passage) tell(c *Connection) {
	counters := c.server.counters
	counters.move(p.outcome)
	if p.outcome == outcomeMoved {
		counters.pauses.Record(context.Background(), p.paused.Seconds())
	}
	p.target.log.Debug("move is over", "connection", c.ID(), "epoch", p.epoch, "mode", p.mode, "outcome", p.outcome, "pause", p.paused)
	if p.trail == nil {
		return
	}
	attributes := []attribute.KeyValue{
		trail.Connection.String(c.ID()), trail.Application.String(c.server.config.Application), trail.Epoch.String(p.epoch.String()),
		trail.Mode.String(p.mode), trail.Target.String(p.target.id), trail.TargetIngress.String(p.target.ingress),
	}
	if p.previous != nil {
		attributes = append(attributes, trail.Previous.String(p.previous.id), trail.PreviousIngress.String(p.previous.ingress))
	}
	p.trail.End(p.outcome, p.outcome == outcomeSuperseded, attributes...)
}
