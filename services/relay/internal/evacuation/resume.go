package evacuation

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/services/relay/internal/logical"
	"github.com/holdfast/holdfast/services/relay/internal/placement"
)

// Parked implements registry.Mover.
func (e *Evacuator) Parked(c *logical.Connection) {
	e.mu.Lock()
	e.parked[c.ID] = c
	e.mu.Unlock()
	signal(e.lost)
}

// resumeParked resumes parked connections as soon as their app server has a path, and ends those for which it has none
// in time.
func (e *Evacuator) resumeParked(ctx context.Context) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.lost:
			e.resumeAll(ctx)
		case now := <-ticker.C:
			e.expireParked(now)
		}
	}
}

// resumeAll begins a resume of every parked connection whose app server has a path.
func (e *Evacuator) resumeAll(ctx context.Context) {
	began, resumes := time.Now(), 0
	var paths []placement.Path
	for i, c := range e.parkedNow() {
		if i%cap(e.resumes) == 0 { // by now the paths may be others
			paths = e.registry.Paths()
		}
		since, prefer, parked := c.Parked()
		switch {
		case !parked:
			e.unpark(c)
			continue
		case time.Since(since) > e.config.ParkTime+e.config.MigrationTimeout: // there are paths, but none answers
			e.giveUp(c, "its app server answered on no server connection for %v", time.Since(since).Round(time.Millisecond))
			continue
		}
		path, ok := placement.Resume(paths, c.Instance.InstanceID, prefer)
		if !ok {
			e.checkReplaced(c, since)
			continue
		}
		if !e.resume(ctx, c, path) {
			return
		}
		resumes++
	}
	if resumes > 0 {
		e.log.Info("resumes begun", "connections", resumes, "elapsed", time.Since(began))
	}
}

// resume begins one resume, as soon as there is a place for it. A path that went meanwhile has us try again.
func (e *Evacuator) resume(ctx context.Context, c *logical.Connection, path ordering.Path) bool {
	select {
	case e.resumes <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	m := &move{connection: c, target: e.registry.ServerConnection(path), place: e.resumes}
	if m.target == nil {
		m.free()
		return true
	}
	e.unpark(c) // before it can be parked again
	if e.begin(m, func() error { return c.Resume(m.target) }) != nil {
		if _, _, parked := c.Parked(); parked {
			e.Parked(c)
		}
	}
	return true
}

// expireParked ends connections that were parked for too long. Those whose app server has a path only wait for their turn.
func (e *Evacuator) expireParked(now time.Time) {
	all := e.parkedNow()
	if len(all) == 0 {
		return
	}
	attached := make(map[string]bool)
	for _, p := range e.registry.Paths() {
		attached[p.Instance] = true
	}
	for _, c := range all {
		since, _, parked := c.Parked()
		switch {
		case !parked:
			e.unpark(c)
		case now.Sub(since) > e.config.ParkTime && !attached[c.Instance.InstanceID]:
			e.giveUp(c, "its app server had no server connection for the park time of %v", e.config.ParkTime)
		}
	}
}

// checkReplaced ends a parked connection whose app server has come back as another process, which knows nothing of it.
func (e *Evacuator) checkReplaced(c *logical.Connection, since time.Time) {
	for _, s := range e.registry.ServerConnections() {
		if s.Instance.Application == c.Instance.Application && s.Instance.ServerID == c.Instance.ServerID && !s.AttachedAt.Before(since) {
			e.giveUp(c, "its app server %q came back as another process, %q", s.Instance.ServerID, s.Instance.InstanceID)
			return
		}
	}
}

func (e *Evacuator) giveUp(c *logical.Connection, format string, args ...any) {
	e.unpark(c)
	c.Expire(fmt.Sprintf(format, args...))
}

func (e *Evacuator) unpark(c *logical.Connection) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.parked, c.ID)
}

func (e *Evacuator) parkedNow() []*logical.Connection {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make([]*logical.Connection, 0, len(e.parked))
	for _, c := range e.parked {
		all = append(all, c)
	}
	return all
}
