// Package admission decides whether the relay takes one more client. Those that it has go on whatever it decides.
package admission

import (
	"math"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"

	"golang.org/x/time/rate"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/config"
)

// Gate admits clients. It is safe for concurrent use.
type Gate struct {
	limits config.Limits
	// memory is the limit of the process in bytes; 0 is none.
	memory int64
	rate   *rate.Limiter // nil: no limit

	// retained and used are what Look found.
	retained, used atomic.Int64

	mu sync.Mutex
	// Guarded by mu: how many are in, in all, by address and by identity. What is not known is not counted.
	all                  int
	byHost, byIdentities map[string]int
	// pleading is how many are in beyond the limits and have yet to show why.
	pleading int
}

// maxPleading bounds how many may be in beyond the limits who have yet to show why.
const maxPleading = 256

// Guest is who asks to be let in.
type Guest struct {
	// Host is the IP address, Identity the subject of the token; empty when it is not known.
	Host, Identity string
}

// New returns a gate with the limits.
func New(limits config.Limits) *Gate {
	g := &Gate{limits: limits, memory: limits.MaxMemoryBytes, byHost: make(map[string]int), byIdentities: make(map[string]int)}
	if g.memory == 0 {
		if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 { // GOMEMLIMIT
			g.memory = limit
		}
	}
	if n := limits.ConnectionRate; n > 0 {
		g.rate = rate.NewLimiter(rate.Limit(n), n)
	}
	return g
}

// Knock is called for each stream once it has shown who it is, or strangers could use up the rate of others. Its error has the reason
// CONNECTION_RATE.
func (g *Gate) Knock() error {
	if g.rate != nil && !g.rate.Allow() {
		return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_CONNECTION_RATE,
			"more than %d new connections a second; try again later", g.limits.ConnectionRate)
	}
	return nil
}

// memoryShare is the part of the memory limit, in percent, above which nobody new is let in.
const memoryShare = 90

// Overloaded is called for each stream before anything is done for it. Its error has the reason OVERLOADED.
func (g *Gate) Overloaded() error {
	if most, now := g.limits.MaxRetainedBytes, g.retained.Load(); most > 0 && now > most {
		return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_OVERLOADED,
			"the relay holds %d bytes for its connections, the limit is %d; try again later", now, most)
	}
	if most, now := g.memory/100*memoryShare, g.used.Load(); g.memory > 0 && now > most {
		return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_OVERLOADED,
			"the relay uses %d bytes of memory and takes nobody new above %d; try again later", now, most)
	}
	return nil
}

// Admit lets a guest in, whom Leave lets out. Its error has the reason TOO_MANY_CONNECTIONS.
func (g *Gate) Admit(guest Guest) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, l := range []struct {
		now, most int
		what      string
	}{
		{g.all, g.limits.MaxConnections, "in all"},
		{g.byHost[guest.Host], known(guest.Host, g.limits.MaxConnectionsPerAddress), "from this address"},
		{g.byIdentities[guest.Identity], known(guest.Identity, g.limits.MaxConnectionsPerIdentity), "of this identity"},
	} {
		if l.most > 0 && l.now >= l.most {
			return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_TOO_MANY_CONNECTIONS,
				"there are %d connections %s, which is the limit; end one, or try again later", l.now, l.what)
		}
	}
	g.countLocked(guest, 1)
	return nil
}

// Plead lets in a guest whom Admit did not let in, to show that it takes the place of another; Pleaded says that it was heard, whatever
// it said. It reports false when too many are heard already.
func (g *Gate) Plead(guest Guest) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pleading >= maxPleading {
		return false
	}
	g.pleading++
	g.countLocked(guest, 1)
	return true
}

// Pleaded ends what Plead began. The guest is in until Leave.
func (g *Gate) Pleaded() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pleading--
}

// Leave lets out a guest that was let in.
func (g *Gate) Leave(guest Guest) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.countLocked(guest, -1)
}

func (g *Gate) countLocked(guest Guest, n int) {
	g.all += n
	add(g.byHost, guest.Host, n)
	add(g.byIdentities, guest.Identity, n)
}

func known(name string, most int) int {
	if name == "" {
		return 0
	}
	return most
}

// add changes a count, and forgets it when it is nothing: else the map would grow with every name that was ever seen.
func add(counts map[string]int, name string, n int) {
	if name == "" {
		return
	}
	if counts[name] += n; counts[name] == 0 {
		delete(counts, name)
	}
}

// memoryInUse is what no collection frees: a heap with garbage up to the limit is what the runtime aims at, and no sign of need.
var memoryInUse = []string{
	"/gc/heap/live:bytes", "/memory/classes/heap/stacks:bytes", "/memory/classes/os-stacks:bytes",
	"/memory/classes/metadata/mspan/inuse:bytes", "/memory/classes/metadata/mcache/inuse:bytes", "/memory/classes/metadata/other:bytes",
	"/memory/classes/other:bytes",
}

// Look takes in how many bytes are retained, and looks how much memory the process uses. It is called now and then.
func (g *Gate) Look(retained int64) {
	g.retained.Store(retained)
	if g.memory == 0 {
		return
	}
	samples := make([]metrics.Sample, len(memoryInUse))
	for i, name := range memoryInUse {
		samples[i].Name = name
	}
	metrics.Read(samples)
	used := uint64(0)
	for _, s := range samples {
		used += s.Value.Uint64()
	}
	g.used.Store(int64(used))
}
