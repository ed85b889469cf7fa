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
	// looks is how often a client that takes nothing is looked at before it is closed.
	looks = 8
	// idleTick is how often writers look whether they have had anything to write.
	idleTick = 5 * time.Second
)

// blocked is a client that was found taking nothing.
type blocked struct {
	since time.Time
	taken uint64
}

// Care closes clients that take none of the messages for them for the timeout, until the context ends, and ends the writers of
// idle ones. What a slow client holds up is its own sender only; closing it frees what is retained for it.
func (s *Service) Care(ctx context.Context, timeout time.Duration) {
	ticker := time.NewTicker(timeout / looks)
	defer ticker.Stop()
	idle := time.NewTicker(idleTick)
	defer idle.Stop()
	found := make(map[*logical.Connection]blocked)
	for {
		select {
		case <-ctx.Done():
			return
		case <-idle.C:
			s.clock.tick()
		case now := <-ticker.C:
			found = s.closeSlow(found, now, timeout)
		}
	}
}

// closeSlow looks once at every client, and returns those that take nothing.
func (s *Service) closeSlow(before map[*logical.Connection]blocked, now time.Time, timeout time.Duration) map[*logical.Connection]blocked {
	found := make(map[*logical.Connection]blocked)
	for _, c := range s.all() {
		taken, isBlocked := c.Unconsumed()
		if !isBlocked {
			continue
		}
		b, known := before[c]
		if !known || b.taken != taken {
			b = blocked{now, taken}
		}
		if now.Sub(b.since) < timeout {
			found[c] = b
			continue
		}
		c.Close(holdfastv1.CloseReason_CLOSE_REASON_SLOW_CONSUMER, fmt.Sprintf("the client took no message for %v", now.Sub(b.since)))
	}
	return found
}

func (s *Service) all() []*logical.Connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.served))
}
