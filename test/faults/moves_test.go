package faults_test

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

const (
	movers      = 4
	movePause   = 50 * time.Millisecond
	moveTimeout = 5 * time.Second
)

// keepMoving moves one connection after the other to another path, so that faults find handoffs open, and what was
// resumed elsewhere comes back to the paths that were regained. stop ends that and returns how many were moved.
func (s *system) keepMoving() (stop func() int) {
	s.t.Helper()
	all, err := s.clients()
	if err != nil {
		s.t.Fatal(err)
	}
	ids := slices.Collect(maps.Keys(all))
	ctx, cancel := context.WithCancel(s.t.Context())
	var moving sync.WaitGroup
	var moved atomic.Int64
	for range movers {
		moving.Go(func() {
			tick := time.NewTicker(movePause)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
				if s.move(ctx, ids[rand.IntN(len(ids))]) {
					moved.Add(1)
				}
			}
		})
	}
	return func() int {
		cancel()
		moving.Wait()
		return int(moved.Load())
	}
}

// move asks for one move and reports whether it was done. That it cannot be done at the moment is no fault.
func (s *system) move(ctx context.Context, id string) bool {
	ctx, cancel := context.WithTimeout(ctx, moveTimeout)
	defer cancel()
	_, err := s.admin.MoveConnection(ctx, &holdfastv1.MoveConnectionRequest{ConnectionId: id})
	switch status.Code(err) {
	case codes.OK:
		return true
	case codes.FailedPrecondition, codes.DeadlineExceeded, codes.Canceled:
	case codes.NotFound: // The client was disconnected, which its fleet tells.
	default:
		s.t.Errorf("move %s: %v", id, err)
	}
	return false
}
