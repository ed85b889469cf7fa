package registry

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/event"
	"github.com/holdfast/holdfast/services/relay/internal/logical"
	"github.com/holdfast/holdfast/services/relay/internal/serverconn"
)

// Settled implements logical.Observer.
func (r *Registry) Settled(c *logical.Connection, from, now *serverconn.Conn, paused time.Duration) {
	if from != nil {
		r.counters.Moved("moved")
		r.publishConnection(holdfastv1.EventKind_EVENT_KIND_CONNECTION_MOVED, c, now, func(e *event.Event) {
			e.PreviousServerConnectionId, e.Pause = from.ID, durationpb.New(paused)
		})
		r.mover.MoveEnded(c.ID, from, true, paused)
	}
	if now.Draining() || r.Reloading(now.Ingress) {
		r.mover.Reconsider()
	}
}

// Released implements logical.Observer: a draining server connection that nothing uses any more is ended, so
// that the ingress it came in through need not wait for it.
func (r *Registry) Released(s *serverconn.Conn, end bool) {
	if end {
		s.Writer.End()
	}
}

// Ended implements logical.Observer.
func (r *Registry) Ended(c *logical.Connection, from, now *serverconn.Conn, why logical.Closure) {
	r.connections.remove(c.ID)
	r.counters.Closed(wire.CloseReasonName(why.Reason))
	r.logEnded(c, why)
	r.publishConnection(holdfastv1.EventKind_EVENT_KIND_CONNECTION_CLOSED, c, now, func(e *event.Event) {
		e.CloseReason, e.Detail = why.Reason, why.Detail
	})
	if from != now {
		r.counters.Moved("ended")
	}
	r.mover.MoveEnded(c.ID, from, false, 0)
}

// Dropped implements logical.Observer.
func (r *Registry) Dropped(c *logical.Connection, v ordering.Verdict, first bool) {
	r.counters.Dropped(v.String())
	if first {
		r.log.Warn("dropped a frame", "connection", wire.FormatID(c.ID), "reason", v.String())
	}
}
