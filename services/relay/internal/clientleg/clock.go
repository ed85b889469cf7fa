package clientleg

import "sync"

// clock ticks for all writers at once: a timer for each would cost more than what they write. It is safe for concurrent use.
type clock struct {
	mu      sync.Mutex
	ticking chan struct{} // closed and replaced by a tick; under mu
}

func newClock() *clock { return &clock{ticking: make(chan struct{})} }

// next is closed at the next tick.
func (c *clock) next() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ticking
}

func (c *clock) tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.ticking)
	c.ticking = make(chan struct{})
}
