package evacuation

import (
	"sync"

	"github.com/holdfast/holdfast/services/relay/internal/serverconn"
)

// places bounds how many moves are open at once for each process of an app server: the pause of each stays short, the traffic
// of others flows, and a process that does not answer holds up nobody's connections but its own. It is safe for concurrent use.
type places struct {
	// Set once. freed wakes the loop that waits for a place; capacity 1.
	most  int
	freed chan struct{}

	mu sync.Mutex
	// Guarded by mu.
	taken map[serverconn.Instance]int
}

func newPlaces(most int) *places {
	return &places{most: most, freed: make(chan struct{}, 1), taken: make(map[serverconn.Instance]int)}
}

// take takes a place. It reports false when there is none.
func (p *places) take(process serverconn.Instance) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken[process] >= p.most {
		return false
	}
	p.taken[process]++
	return true
}

func (p *places) free(process serverconn.Instance) {
	p.mu.Lock()
	if p.taken[process]--; p.taken[process] == 0 {
		delete(p.taken, process)
	}
	p.mu.Unlock()
	signal(p.freed)
}
