// Package serverconn describes one attached server connection to the rest of the relay.
package serverconn

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
)

// Instance names one process of an app server.
type Instance struct {
	Application string
	ServerID    string
	InstanceID  string
	// Nonce tells apart two processes that were given one InstanceID.
	Nonce uint64
}

// Process names the process for placement, which knows nothing else of it.
func (i Instance) Process() string { return fmt.Sprintf("%s/%x", i.InstanceID, i.Nonce) }

// Conn is one server connection. Its methods are safe for concurrent use.
type Conn struct {
	// Set once.
	Path       ordering.Path
	ID         string
	Instance   Instance
	Ingress    string
	Address    string
	Window     int
	AttachedAt time.Time
	Writer     *wire.Writer

	// load counts the logical connections placed on it.
	load    atomic.Int64
	ended   atomic.Bool
	unknown atomic.Bool

	mu sync.Mutex
	// Guarded by mu. lanes counts the logical connections that use it, in a handoff away from it too; draining is the
	// word of its app server; ending says that it drains and nothing uses it: nothing will any more.
	lanes            int
	draining, ending bool
	// suspected is when a move over it was not answered; zero for never.
	suspected time.Time
}

// Load returns how many logical connections are placed on it.
func (c *Conn) Load() int { return int(c.load.Load()) }

// AddLoad changes the number of logical connections placed on it.
func (c *Conn) AddLoad(n int) { c.load.Add(int64(n)) }

// Acquire takes it into use by one more logical connection. It reports false when it is ending.
func (c *Conn) Acquire() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ending {
		c.lanes++
	}
	return !c.ending
}

// Release undoes an Acquire. It reports true once, when the server connection is to be ended: it drains, and nothing
// uses it any more.
func (c *Conn) Release() (end bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lanes--
	return c.endLocked()
}

// InUse reports whether a logical connection uses it.
func (c *Conn) InUse() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lanes > 0
}

// Ending reports whether it is ending: Acquire fails.
func (c *Conn) Ending() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ending
}

// SetDraining marks it as about to go, by the word of its app server. It reports whether that is news, and whether the
// server connection is to be ended.
func (c *Conn) SetDraining() (news, end bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	news = !c.draining
	c.draining = true
	return news, c.endLocked()
}

func (c *Conn) endLocked() bool {
	if c.ending || !c.draining || c.lanes > 0 {
		return false
	}
	c.ending = true
	return true
}

// Draining reports whether its app server said that it is about to go.
func (c *Conn) Draining() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.draining
}

// SetEnded marks it as gone.
func (c *Conn) SetEnded() { c.ended.Store(true) }

// Ended reports whether it is gone.
func (c *Conn) Ended() bool { return c.ended.Load() }

// FirstUnknown reports, once, that a frame for an unknown connection came by it.
func (c *Conn) FirstUnknown() bool { return c.unknown.CompareAndSwap(false, true) }

// Suspect notes that a move over it that began at the time was not answered. It is suspect until it is heard again.
func (c *Conn) Suspect(began time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.Writer.HeardAt().Before(began) {
		c.suspected = time.Now()
	}
}

// Suspected reports whether a move over it was not answered and nothing was heard from it since.
func (c *Conn) Suspected() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Writer.HeardAt().Before(c.suspected)
}
