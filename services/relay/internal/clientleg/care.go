package clientleg

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/telemetry"
)

const (
	// idleTick is how often writers look whether they have had anything to write. One that lives on after that has its stack between those
	// that stay, and their memory cannot be given back by itself.
	idleTick = time.Second
	// attendTick is how often clients are looked at; more often when a client that takes nothing has less than looks times that.
	attendTick = time.Second
	looks      = 8
)

// pulse is what was seen of a client when it was last looked at.
type pulse struct {
	// moved is when a message was last seen to have gone either way, and messages how many had by then.
	moved    time.Time
	messages uint64
	// stuck is since when it has taken none of what it was given, and taken how many it had by then; zero: it was given nothing.
	stuck time.Time
	taken uint64
}

// Care closes clients whose time is up until the context ends, and ends the writers of idle ones.
func (s *Service) Care(ctx context.Context) {
	attend := time.NewTicker(min(s.config.SlowClientTimeout/looks, attendTick))
	defer attend.Stop()
	idle := time.NewTicker(idleTick)
	defer idle.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-idle.C:
			s.clock.tick()
		case now := <-attend.C:
			s.attend(now)
		}
	}
}

// attend looks once at every client, closes it when its time is up, and sums up what is held.
func (s *Service) attend(now time.Time) {
	var retained, waiting int64
	for c := range s.registry.Connections() { // also of clients that have gone, whose messages wait for the application
		h := c.Holding()
		retained += int64(h.Retained)
		waiting += int64(h.Waiting)
	}
	for _, l := range s.all() {
		h := l.conn.Holding()
		l.pulse.see(now, l.conn.Messages(), h.Taken, h.Blocked)
		switch reason, detail := s.timeIsUp(l, now); {
		case reason == holdfastv1.CloseReason_CLOSE_REASON_TOKEN_EXPIRED && l.conn.Resumable: // it may come back with a new one
			l.end(wire.CloseStatus(reason, detail))
		case reason != 0:
			l.conn.Close(reason, detail)
		case l.conn.Resumable:
			s.renewToken(l, now)
		}
	}
	s.expireAway(now)
	s.retained.Store(retained)
	s.waiting.Store(waiting)
	s.config.Gate.Look(retained + waiting)
}

func (p *pulse) see(now time.Time, messages, taken uint64, given bool) {
	if messages != p.messages {
		p.moved, p.messages = now, messages
	}
	switch {
	case !given:
		p.stuck = time.Time{}
	case p.stuck.IsZero() || taken != p.taken:
		p.stuck, p.taken = now, taken
	}
}

// timeIsUp returns why a client is to be closed, or 0. What a slow one holds up is its own sender only; closing it frees what is
// retained for it.
func (s *Service) timeIsUp(l *session, now time.Time) (holdfastv1.CloseReason, string) {
	idle, limit := now.Sub(l.pulse.moved), s.config.Limits.IdleTimeout
	switch stuck := now.Sub(l.pulse.stuck); {
	case !l.pulse.stuck.IsZero() && stuck >= s.config.SlowClientTimeout:
		return holdfastv1.CloseReason_CLOSE_REASON_SLOW_CONSUMER, fmt.Sprintf("the client took no message for %v", stuck)
	case !l.expires.IsZero() && !now.Before(l.expires):
		return holdfastv1.CloseReason_CLOSE_REASON_TOKEN_EXPIRED, "the token of the client has expired; connect with a new one"
	case limit > 0 && idle >= limit:
		return holdfastv1.CloseReason_CLOSE_REASON_IDLE, fmt.Sprintf("no message went either way for %v", idle)
	}
	return 0, ""
}

// Census adds to the state what was held for connections when they were last looked at.
func (s *Service) Census(state *telemetry.State) {
	state.Retained, state.Buffered = s.retained.Load(), s.waiting.Load()
}

func (s *Service) all() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.served))
}
