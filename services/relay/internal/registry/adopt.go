package registry

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/event"
	"github.com/holdfast/holdfast/services/relay/internal/logical"
	"github.com/holdfast/holdfast/services/relay/internal/placement"
	"github.com/holdfast/holdfast/services/relay/internal/serverconn"
)

// Adopt asks the process of an app server for the connection of the info, for a client that has come anew; whether it is to be had is
// known when the returned connection is Ready, or Over. A client that has the same connection here already goes on until then.
// Another one that is coming anew is waited for, by few, until the context ends.
func (r *Registry) Adopt(ctx context.Context, info logical.Info, process serverconn.Instance, claim logical.Claim) (*logical.Connection, error) {
	for {
		e := r.connections.entry(info.ID)
		if e.challenger != nil {
			if err := e.left.wait(ctx); err != nil {
				return nil, err
			}
			continue
		}
		claim.Newest = r.generations.newest(info.ID)
		if e.current != nil {
			now := e.current.Generation()
			if claim.Token < now && e.current.Welcomed() {
				return nil, Refused(holdfastv1.RefuseReason_REFUSE_REASON_REPLAYED)
			}
			claim.Newest = max(claim.Newest, now)
		}
		c, unused, err := r.adopt(info, process, claim)
		switch {
		case err != nil:
			return nil, err
		case c != nil:
			c.Start()
			return c, nil
		case unused != nil:
			r.Released(unused, unused.Release())
		}
	}
}

// maxWaiting bounds the streams that wait for one that is to resume the same connection before them. A client has one, or two when it
// has given one up.
const maxWaiting = 4

// departure is that of a challenger from its place.
type departure struct {
	left    chan struct{}
	waiting atomic.Int32
}

// wait waits for it.
func (d *departure) wait(ctx context.Context) error {
	defer d.waiting.Add(-1)
	if d.waiting.Add(1) > maxWaiting {
		return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_TOO_MANY_CONNECTIONS,
			"%d streams wait to resume this connection already; end one, or try again later", maxWaiting)
	}
	select {
	case <-d.left:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// adopt returns no connection when the place or the path was not to be had; both are chosen anew, and the path, when there is one, is to
// be released.
func (r *Registry) adopt(info logical.Info, process serverconn.Instance, claim logical.Claim) (*logical.Connection, *serverconn.Conn, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.checkStoppingLocked(); err != nil {
		return nil, nil, err
	}
	path, ok := placement.Choose(r.pathsLocked(func(s *serverconn.Conn) bool { return s.Instance == process && !s.Ending() }))
	if !ok {
		return nil, nil, wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_NO_APP_SERVER,
			"the app server %q that has the connection is not attached here at the moment; try another relay, or again later", process.ServerID)
	}
	on := r.paths[path]
	if !on.Acquire() {
		return nil, nil, nil
	}
	r.seenLocked(info.ClientIngress)
	info.ConnectedAt = time.Now()
	c := logical.Adopt(info, on, r, r.counters, claim)
	if !r.connections.challenge(c) {
		on.AddLoad(-1)
		return nil, on, nil
	}
	r.ingresses[info.ClientIngress].clients++
	return c, nil, nil
}

// Refused returns the error for a client whose connection the app server did not give to it.
func Refused(why holdfastv1.RefuseReason) error {
	switch why {
	case holdfastv1.RefuseReason_REFUSE_REASON_REPLAYED:
		return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_RESUME_TOKEN_REPLAYED,
			"a client with a newer token has the connection; this one is not good any more")
	case holdfastv1.RefuseReason_REFUSE_REASON_IMPOSSIBLE:
		return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_IMPOSSIBLE_NUMBER,
			"received_seq or consumed_seq cannot be: more than was ever sent, or less than was acknowledged")
	}
	return wire.CloseStatus(logical.Elsewhere.Reason, logical.Elsewhere.Detail)
}

// LetGo lets go of the connections of all resumable clients, for other relays to take. Their app servers are told nothing, from now on.
func (r *Registry) LetGo(why logical.Closure) {
	r.lettingGo.Store(true)
	for c := range r.connections.all() {
		if c.Resumable {
			c.LetGo(why)
		}
	}
}

// adopted puts the connection in the place of the one that the client had here before, if it had.
func (r *Registry) adopted(c *logical.Connection, s *serverconn.Conn) {
	former := r.connections.promote(c)
	r.counters.ClientResumed(former != nil)
	r.logConnection(slog.LevelDebug, "client resumed", c, s, "client_ingress", c.ClientIngress, "here_before", former != nil)
	r.publishConnection(holdfastv1.EventKind_EVENT_KIND_CLIENT_RESUMED, c, s, func(e *event.Event) { e.Detail = "client came in through " + c.ClientIngress })
	if former != nil {
		former.LetGo(logical.Elsewhere)
	}
}
