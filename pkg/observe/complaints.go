package observe

import (
	"log/slog"
	"sync"
	"time"
)

// complainEvery is how often it is logged that telemetry fails: a collector that is away is no reason to fill the log.
const complainEvery = time.Minute

// complaints logs what goes wrong with telemetry. It implements otel.ErrorHandler.
type complaints struct {
	log *slog.Logger

	mu sync.Mutex
	// Guarded by mu. last is when one was logged, unsaid how many were not since.
	last   time.Time
	unsaid int
}

// Handle implements otel.ErrorHandler.
func (c *complaints) Handle(err error) {
	now := time.Now()
	c.mu.Lock()
	say := c.last.IsZero() || now.Sub(c.last) >= complainEvery
	unsaid := c.unsaid
	if say {
		c.last, c.unsaid = now, 0
	} else {
		c.unsaid++
	}
	c.mu.Unlock()
	if say {
		c.log.Warn("telemetry", "error", err, "unsaid", unsaid)
	}
}
