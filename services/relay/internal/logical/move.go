package logical

import (
	"fmt"
	"slices"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/trail"
	"github.com/holdfast/holdfast/services/relay/internal/serverconn"
)

// Outcome names how a move of a connection ended: each ends in exactly one.
type Outcome uint8

// The outcomes. After PathLost, TimedOut and Gap the connection is parked, and a resume follows.
const (
	// Moved: a handoff was carried through.
	Moved Outcome = iota + 1
	// Resumed: a resume was carried through.
	Resumed
	// PathLost: a server connection that the move needed is gone.
	PathLost
	// TimedOut: the app server did not answer in time.
	TimedOut
	// Gap: messages were missing.
	Gap
	// ConnectionEnded: the connection ended first.
	ConnectionEnded
	// Adopted: the connection was taken up for a client that had come anew.
	Adopted
)

var outcomeNames = [...]string{
	Moved: "moved", Resumed: "resumed", PathLost: "path_lost", TimedOut: "timed_out", Gap: "gap", ConnectionEnded: "connection_ended",
	Adopted: "adopted",
}

// String returns the outcome's name, as it stands in metrics.
func (o Outcome) String() string {
	if o > 0 && int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return fmt.Sprintf("Outcome(%d)", uint8(o))
}

// well reports whether the connection was carried on.
func (o Outcome) well() bool { return o == Moved || o == Resumed || o == Adopted }

// Settlement says where a connection has settled, and how it got there.
type Settlement struct {
	// From is where it was before, nil when it is new; Now is where it is.
	From, Now *serverconn.Conn
	// Outcome is Moved, Resumed or Adopted, 0 when it is new.
	Outcome Outcome
	// Paused is for how long the app server held the outgoing traffic in a handoff, and in a resume the time since the
	// loss was noticed.
	Paused time.Duration
}

// parking is what a parked connection remembers of where it was.
type parking struct {
	// since is zero unless the connection is parked or being resumed.
	since time.Time
	from  *serverconn.Conn
	// why is what took it off its server connections, the last time.
	why Reason
	// prefer is the path of a handoff that is left, or 0.
	prefer ordering.Path
	// held are server connections that it used and that live. They stay in use until it is carried again: one that drains
	// may be the last of the app server, and is not ended under it.
	held []*serverconn.Conn
	// began is when the last resume was begun, unanswered for how long resumes stood unanswered on paths that lived.
	began      time.Time
	unanswered time.Duration
}

// Wait says what a parked connection waits for.
type Wait struct {
	// Since is when the connection was parked.
	Since time.Time
	// Unanswered is for how long resumes stood unanswered on paths that lived. A path that is lost says nothing of its app server.
	Unanswered time.Duration
	// Prefer is the path by which it is best resumed, if that path lives, or 0.
	Prefer ordering.Path
}

// Parked says what the connection waits for. It reports false when it is not parked.
func (c *Connection) Parked() (Wait, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := &c.parked
	return Wait{Since: p.since, Unanswered: p.unanswered, Prefer: p.prefer}, !c.ended && c.end.State() == ordering.Parked
}

// Migrate begins a graceful move to the target (step 3). It returns ordering.ErrNotMovable when the state does
// not allow one. How it ends is told to the observer: with Settled, Parked or Ended.
func (c *Connection) Migrate(target *serverconn.Conn, why Why) error {
	p := c.newPassage(trail.ModeHandoff, target)
	p.reason = why.Reason
	p.move.Noted(trail.ReloadRequested, why.Requested)
	p.move.Noted(trail.Planned, why.Planned)
	return c.move(p, func() error {
		previous := c.last
		err := c.end.Migrate(target.Path)
		if err == nil {
			previous.AddLoad(-1)
		}
		return err
	})
}

// Resume takes up the parked connection via the target (step R1). It returns ordering.ErrNotMovable when the connection
// is not parked. How it ends is told to the observer: with Settled, Parked or Ended.
func (c *Connection) Resume(target *serverconn.Conn) error {
	p := c.newPassage(trail.ModeResume, target)
	return c.move(p, func() error {
		if c.end.State() != ordering.Parked {
			return ordering.ErrNotMovable
		}
		err := c.end.Resume(target.Path)
		if err == nil {
			c.parked.began = time.Now()
			p.reason = c.parked.why
		}
		return err
	})
}

// move begins a move to the target of the passage. Begin is called with the lock.
func (c *Connection) move(p *passage, begin func() error) error {
	target := p.target
	c.mu.Lock()
	if c.ended || !target.Acquire() {
		c.mu.Unlock()
		return ordering.ErrNotMovable
	}
	if err := begin(); err != nil {
		c.mu.Unlock()
		c.observer.Released(target, target.Release())
		return err
	}
	p.from, p.epoch, c.passage = c.movedFromLocked(), c.end.Epoch(), p
	c.placeLocked(target)
	fx := c.effectsLocked()
	c.unholdLocked(&fx)
	c.mu.Unlock()
	c.apply(fx)
	if target.Ended() { // it went between the choice and now, and its end may not have seen us
		c.Lost(target)
	}
	return nil
}

// Lost says that the server connection is gone. A connection that uses it is parked.
func (c *Connection) Lost(s *serverconn.Conn) {
	c.mu.Lock()
	if c.ended || c.connLocked(s.Path) == nil {
		c.mu.Unlock()
		return
	}
	fx := c.parkLocked(PathLost, s)
	c.mu.Unlock()
	c.apply(fx)
}

// GiveUp parks a connection whose move takes too long: a path may be half-open.
func (c *Connection) GiveUp() {
	c.mu.Lock()
	if c.ended || !c.movingLocked() && c.end.State() != ordering.Adopting {
		c.mu.Unlock()
		return
	}
	if !c.parked.since.IsZero() {
		c.parked.unanswered += time.Since(c.parked.began)
	}
	fx := c.parkLocked(TimedOut, nil)
	c.mu.Unlock()
	c.apply(fx)
}

// Expire ends a connection that is still parked, for its app server is not coming back in time.
func (c *Connection) Expire(detail string) {
	c.mu.Lock()
	if c.ended || c.end.State() != ordering.Parked {
		c.mu.Unlock()
		return
	}
	c.abandonLocked(Closure{holdfastv1.CloseReason_CLOSE_REASON_SERVER_LOST, detail})
	fx := c.effectsLocked()
	c.mu.Unlock()
	c.apply(fx)
}

// movingLocked reports whether a handoff or a resume is open.
func (c *Connection) movingLocked() bool {
	return c.end.Previous() != 0 || (!c.parked.since.IsZero() && c.end.State() != ordering.Parked)
}

// movedFromLocked returns the server connection that an open move moves away from, or else the one that carries the
// connection.
func (c *Connection) movedFromLocked() *serverconn.Conn {
	if previous := c.connLocked(c.end.Previous()); previous != nil {
		return previous
	}
	if c.parked.from != nil {
		return c.parked.from
	}
	return c.last
}

// parkLocked takes the connection off its server connections; what they still bring is fenced. A move that was open has
// ended with the outcome. Lost is the server connection that is gone, or nil.
func (c *Connection) parkLocked(open Outcome, lost *serverconn.Conn) effects {
	from, moving := c.movedFromLocked(), c.movingLocked()
	if c.parked.since.IsZero() {
		c.parked = parking{since: time.Now(), from: from}
	}
	c.parked.prefer, c.parked.why = 0, reasonToResume(open)
	for _, u := range c.uses {
		if u.conn == lost {
			continue
		}
		c.parked.held = append(c.parked.held, u.conn)
		if lost != nil {
			c.parked.prefer = u.conn.Path
		}
	}
	if len(c.uses) > 0 {
		c.last.AddLoad(-1)
	}
	c.uses, c.owing = nil, false
	c.end.Park()
	fx := c.effectsLocked()
	if lost != nil {
		fx.released = append(fx.released, lost)
	}
	fx.parked, fx.from = true, from
	if moving {
		fx.open = open
		c.endPassageLocked(&fx, open, 0)
	}
	return fx
}

// unholdLocked lets go of what the parked connection held.
func (c *Connection) unholdLocked(fx *effects) {
	fx.released = append(fx.released, c.parked.held...)
	c.parked.held = nil
}

// settleLocked lets go of the server connections that are not needed any more.
func (c *Connection) settleLocked(fx *effects, before ordering.InitiatorState, from *serverconn.Conn, pausedMicros uint64) {
	s := &Settlement{From: from, Now: c.last}
	if !c.confirmed && c.ready != nil {
		c.confirmed, fx.ready = true, true
	}
	switch {
	case before == ordering.Adopting:
		if s.Outcome = Adopted; c.parked.since.IsZero() {
			s.From = nil
		}
	case !c.parked.since.IsZero():
		s.Outcome, s.Paused = Resumed, time.Since(c.parked.since)
	case before == ordering.Opening:
		s.From = nil
	default:
		s.Outcome, s.Paused = Moved, time.Duration(pausedMicros)*time.Microsecond
	}
	c.parked = parking{}
	fx.settled = s
	c.endPassageLocked(fx, s.Outcome, s.Paused)
	c.uses = slices.DeleteFunc(c.uses, func(u use) bool {
		if c.end.Uses(u.conn.Path) {
			return false
		}
		fx.released = append(fx.released, u.conn)
		return true
	})
}
