package appserver

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/trail"
	"github.com/holdfast/holdfast/pkg/wire"
)

// receive takes a frame that came by the server connection. The payload of a message is copied: it is the handler's then.
func (c *Connection) receive(sc *serverConn, in *wire.Frame) {
	f := in.Step
	f.Message.Payload = bytes.Clone(f.Message.Payload)
	begun := c.server.newPassage(sc, in)
	c.mu.Lock()
	if c.gone {
		c.mu.Unlock()
		return
	}
	before, epoch := c.end.State(), c.end.Epoch()
	verdict, err := c.end.Receive(sc.path, f)
	if err != nil {
		fx := c.breachLocked(err)
		c.mu.Unlock()
		sc.log.Warn("the relay broke the protocol; the connection is closed", "connection", c.ID(), "epoch", f.Epoch, "error", err)
		sc.writer.Reply(in.CloseNow(holdfastv1.CloseReason_CLOSE_REASON_PROTOCOL_ERROR, err.Error()))
		c.apply(fx)
		return
	}
	// A Close in the buffer of a handoff has not arrived yet: a resume drops it, and has it replayed.
	if m, ok := c.end.Inbox.Closing(); ok && c.closed == nil {
		c.closed = &CloseError{Reason: holdfastv1.CloseReason(m.Reason), Detail: string(m.Payload)}
	}
	resumed := f.Kind != ordering.Ack && c.end.Epoch() != epoch // an Ack ends a handoff
	adopted := resumed && f.Kind == ordering.Adopt
	c.followLocked(sc, resumed, before, begun)
	if m := in.Rare.GetMigrate(); adopted {
		c.ingress, c.address = m.GetClientIngress(), m.GetClientAddress()
	}
	if c.discard {
		c.consumeAllLocked()
	}
	var reject *holdfastv1.Frame
	if bit := uint8(1) << verdict; verdict != ordering.Taken && f.Kind == ordering.Data && c.rejected&bit == 0 {
		c.rejected |= bit
		reject = in.Reject(verdict, c.end.Epoch())
	}
	var over *holdfastv1.Frame
	if adopted && c.end.Outbox.Ended() && f.Received == c.end.Outbox.Pushed() {
		over = in.CloseNow(c.closed.Reason, c.closed.Detail) // the client has the Close, and all before it
	}
	fx := c.effectsLocked()
	if over != nil {
		passed := fx.passed
		fx = c.abandonLocked(c.closed)
		fx.passed = append(passed, fx.passed...)
	}
	fx.arrived = c.end.Inbox.Waiting() > 0 || c.closed != nil
	fx.room = f.Consumed > 0 || c.closed != nil
	for path, reply, ok := c.end.Reply(); ok; path, reply, ok = c.end.Reply() {
		fx.replies = append(fx.replies, pathFrame{path, wire.Refuse(c.id, reply)})
	}
	c.mu.Unlock()
	if verdict != ordering.Taken {
		c.server.counters.drop(verdict.String())
	}
	for _, reply := range []*holdfastv1.Frame{reject, over} {
		if reply != nil {
			sc.writer.Reply(reply)
		}
	}
	c.apply(fx)
}

// followLocked follows the steps of a move with lanes and the clock. Resumed says that the connection was taken up via the server
// connection. Begun is the move that the frame may begin, or nil.
func (c *Connection) followLocked(sc *serverConn, resumed bool, before ordering.ResponderState, begun *passage) {
	switch now := c.end.State(); {
	case resumed:
		c.beginPassageLocked(begun)
		c.uses = []use{c.useOf(sc)}
		c.owing, c.paused = false, 0
	case before == ordering.Running && now == ordering.Paused:
		c.beginPassageLocked(begun)
		c.uses = append(c.uses, c.useOf(sc))
		c.pausedAt = time.Now()
		begun.trail.NoteAt(trail.Paused, c.pausedAt)
	case before == ordering.Paused && now == ordering.Running:
		c.uses = slices.DeleteFunc(c.uses, func(u use) bool { return !c.end.Uses(u.path) })
		c.paused = time.Since(c.pausedAt)
		c.passage.trail.Note(trail.AckReceived)
		c.passage.trail.Note(trail.Drained)
		c.passage.outcome, c.passage.paused = outcomeMoved, c.paused
		if len(c.uses) == 0 { // the target was lost meanwhile
			c.adriftLocked(sc, "the target of a handoff was lost")
		}
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
		if !c.end.Inbox.Closed() { // else the peer's Close waits in the buffer of a handoff
			// An error means that the direction was closed already.
			_, _ = c.end.Outbox.Push(wire.CloseMessage(why.Reason, why.Detail))
		}
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

// lost says that the server connection is gone.
func (c *Connection) lost(sc *serverConn, cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	had := len(c.uses)
	c.uses = slices.DeleteFunc(c.uses, func(u use) bool { return u.path == sc.path })
	if !c.gone && had > 0 && len(c.uses) == 0 {
		c.adriftLocked(sc, cause.Error())
	}
}

// adriftLocked says that the connection has lost its last server connection with this one. It waits for the relay to resume
// it, until the relay must have given it up: it may notice the loss later than we do.
func (c *Connection) adriftLocked(sc *serverConn, cause string) {
	c.owing = false
	c.adrift = adrift{
		until: time.Now().Add(max(c.server.config.ParkTime, 0) + wire.SilentIntervals*sc.heartbeat),
		why:   "server connection " + sc.id + " was lost and the relay has not resumed the connection: " + cause,
	}
	c.server.adrift.Store(true)
}

// expire ends a connection that was adrift for too long. It reports whether the connection is adrift and still has time.
func (c *Connection) expire(now time.Time) bool {
	c.mu.Lock()
	adrift, waits := c.adrift, !c.gone && len(c.uses) == 0
	c.mu.Unlock()
	if !waits || now.Before(adrift.until) {
		return waits
	}
	c.abandon(&CloseError{Reason: holdfastv1.CloseReason_CLOSE_REASON_SERVER_LOST, Detail: adrift.why})
	return false
}

// goneAtOnce takes the word of a relay that it has no such connection, or lets go of it. One from which another has taken the
// connection has no say any more.
func (c *Connection) goneAtOnce(f *wire.Frame, m *holdfastv1.CloseConnectionMessage) {
	c.mu.Lock()
	stale := f.Step.Epoch.Generation() < c.end.Epoch().Generation()
	c.mu.Unlock()
	if stale {
		c.server.counters.drop(ordering.StaleEpoch.String())
		return
	}
	c.abandon(&CloseError{Reason: m.GetReason(), Detail: m.GetDetail()})
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
	return effects{gone: true, cause: why, passed: c.passedLocked()}
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
	replies       []pathFrame
	gone          bool
	cause         *CloseError // ends the handler's context when not nil
	passed        []*passage  // moves that are over
}

// pathFrame is a frame for whichever server connection has the path, if it still lives.
type pathFrame struct {
	path  ordering.Path
	frame *holdfastv1.Frame
}

// effectsLocked derives from the state what has to be done.
func (c *Connection) effectsLocked() effects {
	var fx effects
	if !c.gone && c.end.Done() {
		c.gone, fx.gone = true, true
	}
	fx.passed = c.passedLocked()
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
	for _, r := range fx.replies {
		if sc := c.server.path(r.path); sc != nil {
			sc.writer.Reply(r.frame)
		}
	}
	for _, p := range fx.passed {
		p.tell(c)
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
	passed := c.passedLocked()
	c.mu.Unlock()
	c.apply(effects{gone: gone, passed: passed})
	return more
}

func (c *Connection) pullLocked(lane *wire.Lane, batch *wire.Batch, quantum int) bool {
	if c.gone {
		return false
	}
	return lane.Pull(batch, quantum, c.id, c.end, c.extraLocked)
}

// extraLocked follows a frame that is sent. The receipt that confirms a handoff says how long the pause was.
func (c *Connection) extraLocked(f ordering.Frame) (x wire.Extra) {
	if f.Consumed > 0 {
		c.owing = false
	}
	if f.Kind == ordering.Receipt && c.paused > 0 {
		x.PausedMicros, c.paused = uint64(max(c.paused.Microseconds(), 1)), 0
	}
	if c.passage != nil && c.passage.sent(f.Kind) {
		c.endPassageLocked("")
	}
	return x
}
