package clientleg

import (
	"fmt"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/services/relay/internal/logical"
)

// looks is how often a client that takes nothing is looked at before it is closed.
const looks = 8

// blocked is a client that was found taking nothing.
type blocked struct {
	since time.Time
	taken uint64
}

// closeSlow looks once at every client, closes those that took none of the messages for them for the timeout, and returns the others
// that take nothing. What a slow client holds up is its own sender only; closing it frees what is retained for it.
func (s *Service) closeSlow(before map[*logical.Connection]blocked, now time.Time, timeout time.Duration) map[*logical.Connection]blocked {
	found := make(map[*logical.Connection]blocked)
	for _, l := range s.all() {
		c := l.conn
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
