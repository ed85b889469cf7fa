package registry

import (
	"sync"
	"time"
)

// Bounds of what is remembered of connections that this relay has let go of.
const (
	rememberTime  = 2 * time.Minute
	maxRemembered = 1 << 16
)

// generations remembers the newest generation that this relay has had, or asked for, of connections that it has let go of: for
// rememberTime at least, unless there are more than maxRemembered in that time. One that asked for the same again could take for its own
// what was sent to the one before. It is safe for concurrent use.
type generations struct {
	mu            sync.Mutex
	recent, older map[uint64]uint32
	turned        time.Time
}

func (g *generations) remember(id uint64, generation uint32, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	generation = max(generation, g.newestLocked(id))
	if g.recent == nil || len(g.recent) >= maxRemembered || now.Sub(g.turned) >= rememberTime {
		g.recent, g.older, g.turned = make(map[uint64]uint32), g.recent, now
	}
	g.recent[id] = generation
}

// newest returns 0 for a connection that is not remembered.
func (g *generations) newest(id uint64) uint32 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.newestLocked(id)
}

func (g *generations) newestLocked(id uint64) uint32 { return max(g.recent[id], g.older[id]) }
