package logical

import (
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/trail"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/serverconn"
	"github.com/holdfast/holdfast/services/relay/internal/telemetry"
)

// Reason names why a move was begun.
type Reason uint8

// The reasons: those of handoffs, then those of resumes.
const (
	// Reload: the ingress of the previous is being reloaded.
	Reload Reason = iota + 1
	// Draining: the app server said that the previous is about to go.
	Draining
	// Operator: an operator asked for it.
	Operator
	// LostPath: a server connection that carried the connection was lost.
	LostPath
	// Timeout: a move before it was not answered in time.
	Timeout
	// Missing: messages were missing.
	Missing
)

var reasonNames = [...]string{
	Reload: "reload", Draining: "draining", Operator: "operator", LostPath: "path_lost", Timeout: "timeout", Missing: "gap",
}

// String returns the reason's name, as it stands in metrics and traces.
func (r Reason) String() string {
	if r > 0 && int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return fmt.Sprintf("Reason(%d)", uint8(r))
}

// reasonToResume is why a connection is resumed that was parked with the outcome.
func reasonToResume(o Outcome) Reason {
	switch o {
	case TimedOut:
		return Timeout
	case Gap:
		return Missing
	}
	return LostPath
}

// Expect has the counters show the moves that end well from 0 on.
func Expect(c *telemetry.Counters) {
	for _, r := range []Reason{Reload, Draining, Operator} {
		c.Expect(trail.ModeHandoff, r.String(), Moved.String())
	}
	for _, r := range []Reason{LostPath, Timeout, Missing} {
		c.Expect(trail.ModeResume, r.String(), Resumed.String())
	}
}

// Why says why a handoff is begun.
type Why struct {
	Reason Reason
	// Requested is when the reload was announced, Planned when the connection was found on a draining path; zero when it was not.
	Requested, Planned time.Time
}

// passage is a move that is open, for those who measure and trace. What is not set at its beginning is guarded by the
// connection's mu, until it has ended.
type passage struct {
	move *telemetry.Move
	// parent is the trace context for the app server.
	parent       string
	reason       Reason
	epoch        ordering.Epoch
	from, target *serverconn.Conn

	// Set at its end.
	outcome Outcome
	paused  time.Duration
	ended   time.Time
}

// newPassage begins one. It calls out, so that it must not be called with the lock.
func (c *Connection) newPassage(mode string, target *serverconn.Conn) *passage {
	m := c.counters.Begin(mode)
	return &passage{move: m, parent: m.Parent(), target: target}
}

// sent follows a frame that is sent.
func (p *passage) sent(kind ordering.FrameKind, x *wire.Extra) {
	switch kind {
	case ordering.Migrate, ordering.Resume, ordering.Adopt, ordering.Open:
		p.move.Sent()
		x.Traceparent = p.parent
	case ordering.Ack:
		p.move.Acked()
	}
}

// endPassageLocked ends the open move, if there is one.
func (c *Connection) endPassageLocked(fx *effects, o Outcome, paused time.Duration) {
	p := c.passage
	if p == nil {
		return
	}
	c.passage = nil
	p.outcome, p.paused, p.ended = o, paused, time.Now()
	if o.well() {
		p.move.Settled(p.ended)
	}
	fx.passage = p
}

// tell says how it ended. It calls out, so that it must not be called with the lock.
func (p *passage) tell(c *Connection) {
	e := telemetry.Ended{
		Reason: p.reason.String(), Outcome: p.outcome.String(), Paused: p.paused, At: p.ended,
		Well:   p.outcome.well(),
		Failed: p.outcome == PathLost || p.outcome == TimedOut || p.outcome == Gap,
	}
	if p.move.Traced() {
		e.Attributes = []attribute.KeyValue{
			trail.Connection.String(wire.FormatID(c.ID)), trail.Application.String(c.Application), trail.Epoch.String(p.epoch.String()),
			trail.Target.String(p.target.ID), trail.TargetIngress.String(p.target.Ingress),
		}
		if p.from != nil {
			e.Attributes = append(e.Attributes, trail.Previous.String(p.from.ID), trail.PreviousIngress.String(p.from.Ingress))
		}
	}
	p.move.End(e)
}
