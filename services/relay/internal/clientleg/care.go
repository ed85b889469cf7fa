package clientleg

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/services/relay/internal/logical"
)

const (
	// idleTick is how often writers look whether they have had anything to write.
	idleTick = 5 * time.Second
	// attendTick is how often the limits in time and memory are looked at.
	attendTick = time.Second
)

// pulse is when a message was last seen to have gone either way, and how many had gone by then.
type pulse struct {
	at       time.Time
	messages uint64
}

// Care closes clients whose time is up, those that take nothing among them, until the context ends, and ends the writers of idle ones.
func (s *Service) Care(ctx context.Context) {
	slow := time.NewTicker(s.config.SlowClientTimeout / looks)
	defer slow.Stop()
	idle := time.NewTicker(idleTick)
	defer idle.Stop()
	attend := time.NewTicker(attendTick)
	defer attend.Stop()
	found := make(map[*logical.Connection]blocked)
	for {
		select {
		case <-ctx.Done():
			return
		case <-idle.C:
			s.clock.tick()
		case now := <-slow.C:
			found = s.closeSlow(found, now, s.config.SlowClientTimeout)
		case now := <-attend.C:
			s.attend(now)
		}
	}
}

// attend looks once at every client: whether its token has expired, and whether it has been idle for too long; and tells the gate how
// much is retained for all.
func (s *Service) attend(now time.Time) {
	retained := int64(0)
	if s.config.Identities != nil || s.config.Limits.IdleTimeout > 0 || s.config.Gate.WantsRetained() {
		for _, l := range s.all() {
			s.attendOne(l, now)
			if s.config.Gate.WantsRetained() {
				retained += int64(l.conn.Held())
			}
		}
	}
	s.config.Gate.Look(retained)
}

func (s *Service) attendOne(l *session, now time.Time) {
	if !l.expires.IsZero() && !now.Before(l.expires) {
		l.conn.Close(holdfastv1.CloseReason_CLOSE_REASON_TOKEN_EXPIRED, "the token of the client has expired; connect with a new one")
		return
	}
	limit := s.config.Limits.IdleTimeout
	if limit == 0 {
		return
	}
	if messages := l.conn.Messages(); messages != l.pulse.messages {
		l.pulse = pulse{now, messages}
	} else if quiet := now.Sub(l.pulse.at); quiet >= limit {
		l.conn.Close(holdfastv1.CloseReason_CLOSE_REASON_IDLE, fmt.Sprintf("no message went either way for %v", quiet.Truncate(time.Second)))
	}
}

func (s *Service) all() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.served))
}
