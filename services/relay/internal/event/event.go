// Package event tells watchers what happens in the relay.
package event

import (
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/types/known/timestamppb"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// watcherBuffer bounds what waits for one watcher. A watcher that falls further behind misses events and is
// told how many.
const watcherBuffer = 4096

// Event is one event, as watchers see it.
type Event = holdfastv1.WatchEventsResponse

// Hub hands each event to all watchers. Its methods are safe for concurrent use and never block. The zero Hub
// is ready to use.
type Hub struct {
	count    atomic.Int64
	mu       sync.Mutex
	watchers map[*Watcher]struct{}
}

// Watcher takes events from a Hub.
type Watcher struct {
	// C has the events in order.
	C chan *Event
	// missed counts those that found C full since one was last taken in; guarded by the hub's mu.
	missed uint64
}

// Watch adds a watcher. Its caller removes it with Unwatch.
func (h *Hub) Watch() *Watcher {
	w := &Watcher{C: make(chan *Event, watcherBuffer)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watchers == nil {
		h.watchers = make(map[*Watcher]struct{})
	}
	h.watchers[w] = struct{}{}
	h.count.Store(int64(len(h.watchers)))
	return w
}

// Unwatch removes a watcher.
func (h *Hub) Unwatch(w *Watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watchers, w)
	h.count.Store(int64(len(h.watchers)))
}

// Publish hands the event that build makes, with its time, to all watchers. Without watchers it is not built.
func (h *Hub) Publish(build func() *Event) {
	if h.count.Load() == 0 {
		return
	}
	e := build()
	h.mu.Lock()
	defer h.mu.Unlock()
	e.Time = timestamppb.Now()
	for w := range h.watchers {
		w.offer(e)
	}
}

func (w *Watcher) offer(e *Event) {
	if w.missed > 0 {
		missed := &Event{Time: e.GetTime(), Kind: holdfastv1.EventKind_EVENT_KIND_MISSED, Missed: w.missed}
		select {
		case w.C <- missed:
			w.missed = 0
		default:
			w.missed++
			return
		}
	}
	select {
	case w.C <- e:
	default:
		w.missed++
	}
}
