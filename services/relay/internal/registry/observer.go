package registry

import (
	"log/slog"
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
func (r *Registry) Settled(c *logical.Connection, s logical.Settlement) {
	if s.Outcome == logical.Adopted {
		r.adopted(c, s.Now)
	}
	switch {
	case s.From == nil:
	case s.Outcome == logical.Adopted:
		r.moveEnded(c, s.From, s.Outcome, s.Paused)
	default:
		kind := holdfastv1.EventKind_EVENT_KIND_CONNECTION_MOVED
		if s.Outcome == logical.Resumed {
			kind = holdfastv1.EventKind_EVENT_KIND_CONNECTION_RESUMED
		}
		r.publishConnection(kind, c, s.Now, func(e *event.Event) {
			e.PreviousServerConnectionId, e.Pause = s.From.ID, durationpb.New(s.Paused)
		})
		r.logConnection(slog.LevelDebug, "connection "+s.Outcome.String(), c, s.Now, "previous", s.From.ID, "pause", s.Paused)
		r.moveEnded(c, s.From, s.Outcome, s.Paused)
	}
	if s.Now.Draining() || r.Reloading(s.Now.Ingress) {
		r.mover.Reconsider()
	}
}

func (r *Registry) moveEnded(c *logical.Connection, from *serverconn.Conn, o logical.Outcome, paused time.Duration) {
	r.mover.MoveEnded(c, from, o, paused)
}

// Parked implements logical.Observer.
func (r *Registry) Parked(c *logical.Connection, from *serverconn.Conn, open logical.Outcome) {
	if open != 0 {
		r.moveEnded(c, from, open, 0)
	}
	r.logConnection(slog.LevelDebug, "connection parked", c, from)
	r.publishConnection(holdfastv1.EventKind_EVENT_KIND_CONNECTION_PARKED, c, from, nil)
	r.mover.Parked(c)
}

// Released implements logical.Observer: a draining server connection that nothing uses any more is ended, so
// that the ingress it came in through need not wait for it.
func (r *Registry) Released(s *serverconn.Conn, end bool) {
	if end {
		s.Writer.End()
	}
}

// Ended implements logical.Observer.
func (r *Registry) Ended(c *logical.Connection, e logical.Ending) {
	if c.Resumable { // before it leaves its place to another
		r.generations.remember(c.ID, c.Generation(), time.Now())
	}
	r.connections.remove(c)
	r.clientLeft(c.ClientIngress, e.Away)
	elsewhere := e.Why.Reason == holdfastv1.CloseReason_CLOSE_REASON_RESUMED_ELSEWHERE // it goes on there
	if e.Opened {
		kind := holdfastv1.EventKind_EVENT_KIND_CONNECTION_CLOSED
		if elsewhere {
			kind = holdfastv1.EventKind_EVENT_KIND_CONNECTION_LET_GO
		}
		r.counters.Closed(wire.CloseReasonName(e.Why.Reason))
		r.publishConnection(kind, c, e.Now, func(ev *event.Event) {
			ev.CloseReason, ev.Detail = e.Why.Reason, e.Why.Detail
		})
	}
	r.logEnded(c, e.Now, e.Why)
	switch {
	case e.Moving && elsewhere:
		r.moveEnded(c, e.From, logical.Adopted, 0)
	case e.Moving:
		r.moveEnded(c, e.From, logical.ConnectionEnded, 0)
	case !elsewhere:
		r.mover.Left(e.From)
	}
}

// Dropped implements logical.Observer.
func (r *Registry) Dropped(c *logical.Connection, v ordering.Verdict, first bool) {
	r.counters.Dropped(v.String())
	if first {
		r.logConnection(slog.LevelWarn, "dropped a frame", c, c.Snapshot().Server, "reason", v.String())
	}
}

// ClientAway says that the stream of the connection's resumable client is gone.
func (r *Registry) ClientAway(c *logical.Connection) {
	if !c.ClientAway() {
		return // it has ended, and waits for nobody
	}
	r.clientAway(c.ClientIngress)
	on := c.Snapshot().Server
	r.logConnection(slog.LevelDebug, "client away", c, on)
	r.publishConnection(holdfastv1.EventKind_EVENT_KIND_CLIENT_AWAY, c, on, nil)
}
