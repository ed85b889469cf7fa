package clientleg

import (
	"context"
	"fmt"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/services/relay/internal/logical"
)

// pace closes a plain client that sends too much. A resumable one may have a window of messages to send when it has come back, and
// waits: what it sends meanwhile waits with it.
func (s *Service) pace(ctx context.Context, l *session, messages int) error {
	if !l.conn.Resumable {
		if l.rate.AllowN(time.Now(), messages) {
			return nil
		}
		l.conn.Close(holdfastv1.CloseReason_CLOSE_REASON_MESSAGE_RATE,
			fmt.Sprintf("more than %d messages a second came", s.config.Limits.MessageRate))
		return logical.ErrOver
	}
	for messages > 0 {
		n := min(messages, l.rate.Burst())
		messages -= n
		d := l.rate.ReserveN(time.Now(), n).Delay()
		if d == 0 {
			continue
		}
		select {
		case <-time.After(d):
		case <-l.conn.Over():
			return logical.ErrOver
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
