package wire

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
)

// sent is one batch as the stream took it.
type sent struct {
	at       time.Duration // since the writer was made
	frames   []*holdfastv1.Frame
	bytes    int
	ping     *holdfastv1.PingMessage
	draining *holdfastv1.DrainingMessage
}

// rig is a writer on a stream that keeps what it takes.
type rig struct {
	*Writer
	t      testing.TB
	began  time.Time
	cancel context.CancelCauseFunc
	done   chan struct{}
	cause  error // what Run returned; valid when done is closed

	mu sync.Mutex
	// Guarded by mu.
	batches []sent
	gate    chan struct{} // while not nil, the stream takes one batch and then blocks
	takes   time.Duration // how long the stream takes for a batch
	fail    error
}

// newRig returns a writer that is not running yet.
func newRig(t testing.TB, heartbeat time.Duration) *rig {
	r := &rig{t: t, began: time.Now(), done: make(chan struct{})}
	r.Writer = NewWriter(1, heartbeat, r.take)
	return r
}

func (r *rig) take(b *Batch) error {
	r.mu.Lock()
	s := sent{at: time.Since(r.began), bytes: len(b.encoded), ping: b.Ping, draining: b.Draining, frames: message(r.t, b).GetFrames()}
	r.batches = append(r.batches, s)
	gate, takes, fail := r.gate, r.takes, r.fail
	r.mu.Unlock()
	if gate != nil {
		<-gate
	}
	if takes > 0 {
		time.Sleep(takes)
	}
	return fail
}

// run starts the writer and ends it with the test, if it has not ended by then.
func (r *rig) run(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	r.cancel = cancel
	go func() {
		defer close(r.done)
		r.cause = r.Run(ctx)
	}()
	t.Cleanup(func() {
		r.breakStream(errors.New("the test is over"))
		r.unblock()
		cancel(nil)
		<-r.done
		r.Wait()
	})
	synctest.Wait()
}

// breakStream has the stream fail from now on.
func (r *rig) breakStream(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail = err
}

// block has the next batch stand in the stream until unblock.
func (r *rig) block() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gate = make(chan struct{})
}

func (r *rig) unblock() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gate != nil {
		close(r.gate)
		r.gate = nil
	}
}

// soFar returns what the stream took.
func (r *rig) soFar() []sent {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.batches)
}

// frames returns all frames that the stream took, in order.
func (r *rig) frames() []*holdfastv1.Frame {
	var all []*holdfastv1.Frame
	for _, s := range r.soFar() {
		all = append(all, s.frames...)
	}
	return all
}

// order returns the connections of all frames that the stream took.
func (r *rig) order() []uint64 {
	var ids []uint64
	for _, f := range r.frames() {
		ids = append(ids, f.GetConnectionId())
	}
	return ids
}

// source is a Source with numbered messages to send.
type source struct {
	id   uint64
	lane *Lane

	mu sync.Mutex
	// Guarded by mu.
	next, last uint64
	size       int
	receipt    bool // one is owed
	pulls      int
}

func (r *rig) source(id uint64) *source {
	s := &source{id: id, next: 1}
	s.lane = NewLane(r.Writer, s)
	return s
}

// push has n more messages stand ready.
func (s *source) push(n uint64, urgent bool) {
	s.mu.Lock()
	s.last += n
	s.mu.Unlock()
	s.lane.Ready(urgent)
}

// owe has a receipt owed.
func (s *source) owe() {
	s.mu.Lock()
	s.receipt = true
	s.mu.Unlock()
	s.lane.Owe()
}

func (s *source) Pull(lane *Lane, b *Batch, quantum int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pulls++
	for range quantum {
		if b.Full() {
			break
		}
		switch {
		case s.next <= s.last:
			b.Add(s.id, ordering.Frame{Kind: ordering.Data, Seq: s.next, Message: ordering.Message{Kind: ordering.Binary, Payload: make([]byte, s.size)}}, Extra{})
			s.next++
		case s.receipt && lane == s.lane:
			b.Add(s.id, ordering.Frame{Kind: ordering.Receipt, Consumed: 1}, Extra{})
			s.receipt = false
		default:
			return false
		}
	}
	return s.next <= s.last
}

func TestWriterEndsWithTheCause(t *testing.T) {
	cut, broken := errors.New("cut"), errors.New("broken")
	for _, c := range []struct {
		name string
		end  func(*rig)
		want error
	}{
		{"context", func(r *rig) { r.cancel(cut) }, cut},
		{"the stream failed", func(r *rig) {
			r.breakStream(broken)
			r.Draining("")
		}, broken},
		{"End", func(r *rig) { r.End() }, ErrEnded},
		{"End twice", func(r *rig) { r.End(); r.End() }, ErrEnded},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, time.Hour)
				r.run(t)
				c.end(r)
				synctest.Wait()
				select {
				case <-r.done:
					if !errors.Is(r.cause, c.want) {
						t.Errorf("Run returned %v, want %v", r.cause, c.want)
					}
				default:
					t.Error("Run goes on")
				}
			})
		})
	}
}
