package sample

import (
	"sync"
	"time"
)

// counter sends numbers at an interval until it is stopped or a send fails. A nil counter is one that
// was stopped before its first number.
type counter struct {
	halt     chan struct{}
	haltOnce sync.Once
	ended    chan struct{}

	// Written by the counter's goroutine, read after ended is closed.
	sent uint64
	err  error
}

// startCounter calls send with 1, 2, … in a goroutine of its own. The caller has to call stop.
func startCounter(interval time.Duration, send func(n uint64) error) *counter {
	c := &counter{halt: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(c.ended)
		c.run(interval, send)
	}()
	return c
}

func (c *counter) run(interval time.Duration, send func(n uint64) error) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-c.halt:
			return
		case <-tick.C:
		}
		if c.err = send(c.sent + 1); c.err != nil {
			return
		}
		c.sent++
	}
}

// stop ends the counter after the number that it may be sending, and returns why a send failed.
func (c *counter) stop() error {
	if c == nil {
		return nil
	}
	c.haltOnce.Do(func() { close(c.halt) })
	<-c.ended
	return c.err
}

// running reports whether the counter may still send.
func (c *counter) running() bool {
	if c == nil {
		return false
	}
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}

// counted returns how many numbers were sent by a counter that has ended.
func (c *counter) counted() uint64 {
	if c == nil {
		return 0
	}
	return c.sent
}
