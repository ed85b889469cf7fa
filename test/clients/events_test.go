package clients_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// events keeps what a relay tells of logical connections, until the relay or the test ends.
type events struct {
	mu     sync.Mutex
	closed map[string][]holdfastv1.CloseReason // by connection, under mu
	missed uint64                              // under mu
}

// watch has the relay, which was just started, tell of everything.
func (r *relay) watch(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := r.operator.WatchEvents(ctx, &holdfastv1.WatchEventsRequest{})
	if err == nil {
		_, err = stream.Recv() // Says that it watches.
	}
	if err != nil {
		cancel()
		t.Fatalf("watch relay %s: %v", r.id, err)
	}
	e := &events{closed: map[string][]holdfastv1.CloseReason{}}
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			event, err := stream.Recv()
			if err != nil {
				return // The test is over, or the relay is, which others see.
			}
			e.take(event)
		}
	})
	t.Cleanup(func() {
		cancel()
		watching.Wait()
	})
	r.watched = append(r.watched, e)
}

func (e *events) take(event *holdfastv1.WatchEventsResponse) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.missed += event.GetMissed()
	reason, id := event.GetCloseReason(), event.GetConnectionId()
	// One that a relay which is shutting down lets go of goes on at another.
	if event.GetKind() == holdfastv1.EventKind_EVENT_KIND_CONNECTION_CLOSED && reason != holdfastv1.CloseReason_CLOSE_REASON_RELAY_SHUTDOWN {
		e.closed[id] = append(e.closed[id], reason)
	}
}

// ended returns a line for each of the connections that the relay has ended.
func (r *relay) ended(ids map[string]bool) (lines []string) {
	for _, e := range r.watched {
		lines = append(lines, e.ended(ids)...)
	}
	return lines
}

func (e *events) ended(ids map[string]bool) (lines []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.missed > 0 {
		lines = append(lines, fmt.Sprintf("the watcher missed %d events, and cannot tell", e.missed))
	}
	for id, reasons := range e.closed {
		if ids[id] {
			lines = append(lines, fmt.Sprintf("connection %s ended: %v", id, reasons))
		}
	}
	return lines
}
