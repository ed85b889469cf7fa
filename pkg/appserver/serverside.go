package appserver

import (
	"errors"
	"fmt"
	"slices"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
)

// receive takes a frame that came by the server connection.
func (c *Connection) receive(sc *serverConn, raw *holdfastv1.Frame, f ordering.Frame) {
	c.mu.Lock()
	if c.gone {
		c.mu.Unlock()
		return
	}
	before := c.end.State()
	verdict, err := c.end.Receive(sc.path, f)
	if err != nil {
		fx := c.breachLocked(err)
		c.mu.Unlock()
		sc.log.Warn("the relay broke the protocol; the connection is closed", "connection", c.ID(), "error", err)
		sc.writer.Reply(&holdfastv1.Frame{
			ConnectionId: c.id, Epoch: raw.GetEpoch(), Body: &holdfastv1.Frame_Close{Close: &holdfastv1.CloseConnectionMessage{
				Reason: holdfastv1.CloseReason_CLOSE_REASON_PROTOCOL_ERROR, Detail: err.Error(),
			}},
		})
		c.apply(fx)
		return
	}
	if verdict == ordering.Taken && f.Message.Kind == ordering.Close && c.closed == nil {
		c.closed = &CloseError{Reason: holdfastv1.CloseReason(f.Message.Reason), Detail: string(f.Message.Payload)}
	}
	c.followLocked(sc, f, verdict, before)
	if c.discard {
		c.consumeAllLocked()
	}
	if verdict != ordering.Taken {
		c.server.counters.drop(verdict.String())
	}
	var reject *holdfastv1.Frame
	if bit := uint8(1) << verdict; verdict != ordering.Taken && f.Kind == ordering.Data && c.rejected&bit == 0 {
		c.rejected |= bit
		reject = wire.Reject(raw, verdict, c.end.Epoch())
	}
	fx := c.effectsLocked()
	fx.arrived = c.end.Inbox.Waiting() > 0 || c.closed != nil
	fx.room = f.Consumed > 0 || c.closed != nil
	c.mu.Unlock()
	if reject != nil {
		sc.writer.Reply(reject)
	}
	c.apply(fx)
}

// followLocked follows the steps of a move with lanes and the clock.
func (c *Connection) followLocked(sc *serverConn, f ordering.Frame, verdict ordering.Verdict, before ordering.ResponderState) {
	switch now := c.end.State(); {
	case verdict == ordering.Taken && (f.Kind == ordering.Resume || f.Kind == ordering.Open):
		c.uses = []use{{sc.path, wire.NewLane(sc.writer, c)}}
		c.owing, c.paused = false, 0
		if before == ordering.Paused {
			c.server.counters.move("superseded")
		}
		c.server.counters.move("resumed")
	case before == ordering.Running && now == ordering.Paused:
		c.uses = append(c.uses, use{sc.path, wire.NewLane(sc.writer, c)})
		c.pausedAt = time.Now()
	case before == ordering.Paused && now == ordering.Running:
		c.uses = slices.DeleteFunc(c.uses, func(u use) bool { return !c.end.Uses(u.path) })
		c.paused = time.Since(c.pausedAt)
		c.server.counters.move("moved")
	}
}

// finish ends the connection from this side, after everything that was sent. What still comes is consumed unseen.
func (c *Connection) finish(why *CloseError) {
	c.mu.Lock()
	if c.gone || c.discard {
		c.mu.Unlock()
		return
	}
	c.discard = true
	c.consumeAllLocked()
	if c.closed == nil {
		c.closeLocked(why)
		// An error means that the direction was closed already.
		_, _ = c.end.Outbox.Push(wire.CloseMessage(why.Reason, why.Detail))
	}
	fx := c.effectsLocked()
	fx.cause = why
	c.mu.Unlock()
	c.apply(fx)
}

// closeLocked ends the connection for the handler.
func (c *Connection) closeLocked(why *CloseError) {
	if c.closed == nil {
		c.closed = why
	}
	select {
	case <-c.over:
	default:
		close(c.over)
	}
}

// consumeAllLocked consumes what waits for a handler that is done.
func (c *Connection) consumeAllLocked() {
	for {
		if _, ok := c.end.Inbox.Take(); !ok {
			break
		}
	}
	c.end.Inbox.Consume()
}

// lost says that the server connection is gone. It reports whether the connection has none left now: then it waits for the
// relay to resume it.
func (c *Connection) lost(path ordering.Path) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	had := len(c.uses)
	c.uses = slices.DeleteFunc(c.uses, func(u use) bool { return u.path == path })
	if c.gone || had == 0 || len(c.uses) > 0 {
		return false
	}
	c.lostAt, c.owing = time.Now(), false
	return true
}

// expire ends a connection that has had no server connection since the time.
func (c *Connection) expire(since time.Time, why *CloseError) {
	c.mu.Lock()
	expired := len(c.uses) == 0 && !c.lostAt.After(since)
	c.mu.Unlock()
	if expired {
		c.abandon(why)
	}
}

// abandon ends the connection at once: the peer cannot be told, or told us.
func (c *Connection) abandon(why *CloseError) {
	c.mu.Lock()
	if c.gone {
		c.mu.Unlock()
		return
	}
	if c.closed != nil {
		why = c.closed // the peer had said why before
	}
	fx := c.abandonLocked(why)
	c.mu.Unlock()
	c.apply(fx)
}

func (c *Connection) abandonLocked(why *CloseError) effects {
	c.closeLocked(why)
	c.discard, c.gone = true, true
	return effects{gone: true, cause: why}
}

func (c *Connection) breachLocked(err error) effects {
	why := &CloseError{Reason: holdfastv1.CloseReason_CLOSE_REASON_PROTOCOL_ERROR, Detail: err.Error()}
	if breach := new(ordering.ProtocolError); !errors.As(err, &breach) {
		why.Detail = fmt.Sprintf("internal: %v", err)
	}
	return c.abandonLocked(why)
}

// effects is what has to be done after a step, once the lock is released.
type effects struct {
	lanes         [2]*wire.Lane
	urgent        bool
	arrived, room bool
	gone          bool
	cause         *CloseError // ends the handler's context when not nil
}

// effectsLocked derives from the state what has to be done.
func (c *Connection) effectsLocked() effects {
	var fx effects
	if !c.gone && c.end.Done() {
		c.gone, fx.gone = true, true
	}
	if c.gone {
		return fx
	}
	fx.urgent = c.end.State() == ordering.Paused
	for i, u := range c.uses {
		if c.end.Ready(u.path) {
			fx.lanes[i] = u.lane
		}
	}
	if c.discard && c.end.Inbox.Owes() && fx.lanes[0] == nil { // nobody waits for a better moment
		fx.lanes[0] = c.laneLocked()
	}
	return fx
}

// apply does what effectsLocked found, without the lock.
func (c *Connection) apply(fx effects) {
	for _, l := range fx.lanes {
		if l != nil {
			l.Ready(fx.urgent)
		}
	}
	if fx.arrived {
		signal(c.arrived)
	}
	if fx.room {
		signal(c.room)
	}
	if fx.cause != nil {
		c.cancel(fx.cause)
	}
	if fx.gone {
		c.server.removeConnection(c.id)
	}
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Pull implements wire.Source.
func (c *Connection) Pull(lane *wire.Lane, batch *wire.Batch, quantum int) bool {
	c.mu.Lock()
	more := c.pullLocked(lane, batch, quantum)
	gone := !c.gone && c.end.Done()
	c.gone = c.gone || gone
	c.mu.Unlock()
	c.apply(effects{gone: gone})
	return more
}

func (c *Connection) pullLocked(lane *wire.Lane, batch *wire.Batch, quantum int) bool {
	if c.gone {
		return false
	}
	return lane.Pull(batch, quantum, c.id, c.end, c.completeLocked)
}

// completeLocked follows a frame that is sent. The receipt that confirms a handoff says how long the pause was.
func (c *Connection) completeLocked(f ordering.Frame, out *holdfastv1.Frame) {
	if f.Consumed > 0 {
		c.owing = false
	}
	if r := out.GetReceipt(); r != nil && c.paused > 0 {
		r.PausedMicros, c.paused = uint64(max(c.paused.Microseconds(), 1)), 0
	}
}
