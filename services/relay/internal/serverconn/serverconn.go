// Package serverconn describes one attached server connection to the rest of the relay.
package serverconn

import (
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

	// load counts the logical connections placed on it; lanes those that use it in any way, in a handoff
	// away from it too. load <= lanes but for moments.
	load, lanes atomic.Int64
	draining    atomic.Bool
	ended       atomic.Bool
	unknown     atomic.Bool
}

// Load returns how many logical connections are placed on it.
func (c *Conn) Load() int { return int(c.load.Load()) }

// AddLoad changes the number of logical connections placed on it.
func (c *Conn) AddLoad(n int) { c.load.Add(int64(n)) }

// AddLane changes the number of logical connections that use it and returns the new number.
func (c *Conn) AddLane(n int) int { return int(c.lanes.Add(int64(n))) }

// Idle reports whether no logical connection uses it.
func (c *Conn) Idle() bool { return c.lanes.Load() == 0 }

// SetDraining marks it as about to go, by the word of its app server. It reports whether that is news.
func (c *Conn) SetDraining() bool { return c.draining.CompareAndSwap(false, true) }

// Draining reports whether its app server said that it is about to go.
func (c *Conn) Draining() bool { return c.draining.Load() }

// SetEnded marks it as gone.
func (c *Conn) SetEnded() { c.ended.Store(true) }

// Ended reports whether it is gone.
func (c *Conn) Ended() bool { return c.ended.Load() }

// FirstUnknown reports, once, that a frame for an unknown connection came by it.
func (c *Conn) FirstUnknown() bool { return c.unknown.CompareAndSwap(false, true) }
