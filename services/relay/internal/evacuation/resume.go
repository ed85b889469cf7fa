package evacuation

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/services/relay/internal/logical"
	"github.com/holdfast/holdfast/services/relay/internal/placement"
	"github.com/holdfast/holdfast/services/relay/internal/serverconn"
)

// waiter is a connection from when it was parked to its resume: a new one each time.
type waiter struct{ connection *logical.Connection }

// Parked implements registry.Mover.
func (e *Evacuator) Parked(c *logical.Connection) {
	e.mu.Lock()
	e.parked[c.Instance] = append(e.parked[c.Instance], &waiter{c})
	e.mu.Unlock()
	signal(e.lost)
}

// resumeParked resumes parked connections as soon as their app server has a path, and ends those for which it has none
// in time.
func (e *Evacuator) resumeParked(ctx context.Context) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var began time.Time
	begun := 0
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			e.expireParked(now)
			continue
		case <-e.lost:
		case <-e.resumes.freed:
		}
		if begun == 0 {
			began = time.Now()
		}
		n, waiting := e.resumeAll()
		if begun += n; begun > 0 && !waiting {
			e.log.Info("resumes begun", "connections", begun, "elapsed", time.Since(began))
			begun = 0
		}
	}
}

// resumeAll begins the resumes that there are a path and a place for. It returns how many, and whether some wait for a place.
func (e *Evacuator) resumeAll() (begun int, waiting bool) {
	paths := e.registry.Paths()
	attached := processesOf(paths)
	var again []*logical.Connection // the paths are others by now
	for _, process := range e.parkedProcesses() {
		if !attached[process.Process()] {
			continue
		}
		for {
			if !e.resumes.take(process) {
				waiting = true
				break
			}
			c := e.nextParked(process)
			if c == nil {
				e.resumes.free(process)
				break
			}
			if e.resume(c, paths) == nil {
				begun++
			} else {
				again = append(again, c)
			}
		}
	}
	for _, c := range again {
		if _, parked := c.Parked(); parked {
			e.Parked(c)
		}
	}
	return begun, waiting
}

func processesOf(paths []placement.Path) map[string]bool {
	attached := make(map[string]bool)
	for _, p := range paths {
		attached[p.Instance] = true
	}
	return attached
}

// resume begins one resume, for which a place was taken. When it fails, the place is free again.
func (e *Evacuator) resume(c *logical.Connection, paths []placement.Path) error {
	wait, _ := c.Parked()
	path, _ := placement.Resume(paths, c.Instance.Process(), wait.Prefer)
	m := &move{connection: c, target: e.registry.ServerConnection(path), place: e.resumes}
	if m.target == nil {
		e.resumes.free(c.Instance)
		return ordering.ErrNotMovable
	}
	return e.begin(m, func() error { return c.Resume(m.target) })
}

// expireParked ends connections that were parked for too long. Those whose app server has a path wait for their turn, and
// for as long as it takes a path that works to answer.
func (e *Evacuator) expireParked(now time.Time) {
	attached := processesOf(e.registry.Paths())
	for _, process := range e.parkedProcesses() {
		over := make(map[*waiter]bool)
		for _, w := range e.parkedOf(process) {
			over[w] = e.expireOne(w.connection, attached[process.Process()], now)
		}
		e.drop(process, over)
	}
}

// expireOne reports whether the connection waits no more.
func (e *Evacuator) expireOne(c *logical.Connection, attached bool, now time.Time) (over bool) {
	wait, parked := c.Parked()
	by, replaced := serverconn.Instance{}, false
	if parked && !attached {
		by, replaced = e.registry.Successor(c.Instance, wait.Since)
	}
	switch {
	case !parked:
	case attached && wait.Unanswered > e.config.ParkTime:
		c.Expire(fmt.Sprintf("its app server answered on no server connection for %v", wait.Unanswered.Round(time.Millisecond)))
	case attached:
		return false
	case replaced:
		c.Expire(fmt.Sprintf("its app server %q came back as another process, %q", by.ServerID, by.InstanceID))
	case now.Sub(wait.Since) > e.config.ParkTime:
		c.Expire(fmt.Sprintf("its app server had no server connection for the park time of %v", e.config.ParkTime))
	default:
		return false
	}
	return true
}

// parkedProcesses returns the processes that have parked connections.
func (e *Evacuator) parkedProcesses() []serverconn.Instance {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(maps.Keys(e.parked))
}

func (e *Evacuator) parkedOf(process serverconn.Instance) []*waiter {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.parked[process])
}

// nextParked takes out the connection of the process that stands first, or returns nil.
func (e *Evacuator) nextParked(process serverconn.Instance) *logical.Connection {
	e.mu.Lock()
	defer e.mu.Unlock()
	waiting := e.parked[process]
	if len(waiting) == 0 {
		delete(e.parked, process)
		return nil
	}
	c := waiting[0].connection
	waiting[0], e.parked[process] = nil, waiting[1:]
	return c
}

// drop takes out those that wait no more.
func (e *Evacuator) drop(process serverconn.Instance, over map[*waiter]bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	rest := slices.DeleteFunc(e.parked[process], func(w *waiter) bool { return over[w] })
	if e.parked[process] = rest; len(rest) == 0 {
		delete(e.parked, process)
	}
}
