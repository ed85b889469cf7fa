package faults_test

import (
	"context"
	"sync"
	"testing"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// events counts what the relay tells.
type events struct {
	mu     sync.Mutex
	counts map[holdfastv1.EventKind]int // under mu
	// moved is closed and replaced when a handoff is over.
	moved chan struct{} // under mu
}

// watch counts the relay's events until the test ends.
func watch(t *testing.T, admin holdfastv1.AdminServiceClient) *events {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := admin.WatchEvents(ctx, &holdfastv1.WatchEventsRequest{})
	if err == nil {
		_, err = stream.Recv() // Says that it watches.
	}
	if err != nil {
		cancel()
		t.Fatalf("watch the relay: %v", err)
	}
	e := &events{counts: map[holdfastv1.EventKind]int{}, moved: make(chan struct{})}
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
	return e
}

func (e *events) take(event *holdfastv1.WatchEventsResponse) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.counts[event.GetKind()]++
	if event.GetKind() == holdfastv1.EventKind_EVENT_KIND_CONNECTION_MOVED {
		close(e.moved)
		e.moved = make(chan struct{})
	}
}

// nextMove returns what is closed when the next handoff is over.
func (e *events) nextMove() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.moved
}

func (e *events) count(kind holdfastv1.EventKind) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.counts[kind]
}

// pathsLost returns how many server connections have ended.
func (e *events) pathsLost() int {
	return e.count(holdfastv1.EventKind_EVENT_KIND_SERVER_CONNECTION_ENDED)
}

// parked returns how often a logical connection was without a server connection.
func (e *events) parked() int { return e.count(holdfastv1.EventKind_EVENT_KIND_CONNECTION_PARKED) }

// resumes returns how often a logical connection was resumed by another server connection.
func (e *events) resumes() int { return e.count(holdfastv1.EventKind_EVENT_KIND_CONNECTION_RESUMED) }

// handoffs returns how often a logical connection was moved while its path still lived.
func (e *events) handoffs() int { return e.count(holdfastv1.EventKind_EVENT_KIND_CONNECTION_MOVED) }
