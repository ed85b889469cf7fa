// Package gcfloor keeps the collector of a process with a small heap from running all the time: a collection scans every
// goroutine's stack, and a relay or an app server has many of them and little else.
package gcfloor

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// Default is the floor of the relay and of the sample app server, in bytes.
const Default = 64 << 20

const (
	liveHeap = "/gc/heap/live:bytes"
	// usual is the runtime's own percentage.
	usual = 100
	// least is the heap, in bytes, that the runtime takes the percentage of when less is live: before the first collection
	// nothing is.
	least = 4 << 20
)

// Set has the process allocate at least that many bytes from one collection to the next. It does nothing when the environment
// says GOGC. It may be called once, at the start.
func Set(bytes uint64) {
	if os.Getenv("GOGC") == "" {
		adjust(bytes)
	}
}

// sentinel is found dead by each collection. It is too large to share its memory with something that lives.
type sentinel struct{ _ [64]byte }

// adjust sets the percentage for the heap as the last collection left it, and has the next one call it again.
func adjust(bytes uint64) {
	sample := []metrics.Sample{{Name: liveHeap}}
	metrics.Read(sample)
	debug.SetGCPercent(percent(bytes, sample[0].Value.Uint64()))
	runtime.AddCleanup(&sentinel{}, adjust, bytes)
}

// percent is by how much a heap with so many live bytes may grow.
func percent(bytes, live uint64) int {
	return int(max(usual, usual*bytes/max(live, least)))
}
