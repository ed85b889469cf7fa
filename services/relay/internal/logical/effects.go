package logical

import (
	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/serverconn"
)

// effects is what has to be done after a step, once the lock is released.
type effects struct {
	lanes     [2]laneWake
	toClient  bool
	room      bool
	reply     *holdfastv1.Frame
	replyTo   *serverconn.Conn
	dropped   ordering.Verdict
	firstDrop bool
	settled   *Settlement
	ready     bool
	parked    bool
	open      Outcome          // with parked
	from      *serverconn.Conn // with parked
	ended     *Ending
	released  []*serverconn.Conn
	passage   *passage // a move that has ended
}

type laneWake struct {
	lane   *wire.Lane
	urgent bool
}

// effectsLocked derives from the state what has to be done.
func (c *Connection) effectsLocked() effects {
	var fx effects
	if !c.ended && c.end.Done() {
		c.ended = true
	}
	if c.ended {
		if c.Resumable && c.end.Outbox.Ended() { // by the client, here or where it was before, and the application has taken that
			c.setClosureLocked(Closure{holdfastv1.CloseReason_CLOSE_REASON_CLIENT_GONE, "the client closed the connection"})
		}
		c.endLocked(&fx)
		return fx
	}
	handoff := c.end.State() != ordering.Settled
	for i, u := range c.uses {
		if c.end.Ready(u.conn.Path) {
			fx.lanes[i] = laneWake{u.lane, handoff}
		}
	}
	if last := len(c.uses) - 1; c.discard && c.end.Inbox.Owes() && last >= 0 { // nobody waits for a better moment
		fx.lanes[last] = laneWake{c.uses[last].lane, handoff}
	}
	return fx
}

// endLocked lets go of everything, once.
func (c *Connection) endLocked(fx *effects) {
	if c.told {
		return
	}
	c.told = true
	fx.ended = &Ending{
		From: c.movedFromLocked(), Now: c.last, Moving: c.movingLocked(), Opened: c.end.Opened(), Away: c.away, Why: c.closure,
	}
	if c.closure.Reason == 0 { // the application's Close waits for the client to take what came before it
		fx.ended.Why.Reason = holdfastv1.CloseReason_CLOSE_REASON_APPLICATION_CLOSED
	}
	c.endPassageLocked(fx, ConnectionEnded, 0)
	c.releaseLocked(fx)
}

// releaseLocked lets go of every server connection: nothing carries the connection any more.
func (c *Connection) releaseLocked(fx *effects) {
	if len(c.uses) > 0 {
		c.last.AddLoad(-1)
	}
	for _, u := range c.uses {
		fx.released = append(fx.released, u.conn)
	}
	c.uses = nil
	c.unholdLocked(fx)
}

// apply does what effectsLocked found, without the lock.
func (c *Connection) apply(fx effects) {
	for _, l := range fx.lanes {
		if l.lane != nil {
			l.lane.Ready(l.urgent)
		}
	}
	if fx.toClient {
		signal(c.toClient)
	}
	if fx.room {
		signal(c.room)
	}
	if fx.reply != nil {
		fx.replyTo.Writer.Reply(fx.reply)
	}
	if fx.dropped != 0 {
		c.observer.Dropped(c, fx.dropped, fx.firstDrop)
	}
	if fx.passage != nil {
		fx.passage.tell(c)
	}
	if fx.settled != nil {
		c.observer.Settled(c, *fx.settled)
	}
	if fx.ready {
		close(c.ready)
	}
	for _, s := range fx.released {
		c.observer.Released(s, s.Release())
	}
	switch {
	case fx.ended != nil:
		c.observer.Ended(c, *fx.ended)
	case fx.parked:
		c.observer.Parked(c, fx.from, fx.open)
	}
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
