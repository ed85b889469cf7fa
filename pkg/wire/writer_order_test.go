package wire

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

func TestUrgentLanesGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, time.Hour)
		first, second, urgent, both := r.source(1), r.source(2), r.source(3), r.source(4)
		first.push(1, false)
		both.push(2, false)
		second.push(1, false)
		urgent.push(1, true)
		both.lane.Ready(true) // it stands in the list already and must not wait for its turn there
		r.run(t)
		if got, want := r.order(), []uint64{3, 4, 4, 1, 2}; !slices.Equal(got, want) {
			t.Errorf("order %v, want %v", got, want)
		}
	})
}

// A handoff that begins while the stream is busy goes before everything that waits.
func TestUrgentLaneOvertakesABacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, time.Hour)
		r.block()
		much, urgent := r.source(1), r.source(2)
		much.push(5000, false)
		r.run(t)
		urgent.push(1, true)
		r.unblock()
		batches := r.soFar()
		if got := batches[1].frames[0].GetConnectionId(); got != 2 {
			t.Errorf("the batch after the one under way begins with connection %d, want the urgent one", got)
		}
	})
}

// One with much to send gets a quantum and then waits for its turn again; none is starved, each stays in order.
func TestSourcesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, time.Hour)
		much, little, more := r.source(1), r.source(2), r.source(3)
		much.push(1000, false)
		little.push(1, false)
		more.push(40, false)
		r.run(t)
		var want []uint64
		add := func(id uint64, n int) { want = append(want, slices.Repeat([]uint64{id}, n)...) }
		add(1, quantum)
		add(2, 1)
		for _, n := range []int{quantum, quantum, 40 - 2*quantum} {
			add(3, n)
			add(1, quantum)
		}
		add(1, 1000-4*quantum)
		if got := r.order(); !slices.Equal(got, want) {
			t.Errorf("order %v, want %v", got, want)
		}
		next := make(map[uint64]uint64)
		for _, f := range r.frames() {
			next[f.GetConnectionId()]++
			if f.GetData().GetSeq() != next[f.GetConnectionId()] {
				t.Fatalf("connection %d: message %d, want %d", f.GetConnectionId(), f.GetData().GetSeq(), next[f.GetConnectionId()])
			}
		}
	})
}

func TestBatchesOfTheWriterAreBounded(t *testing.T) {
	for _, c := range []struct {
		size, messages, batches int
	}{
		{0, 2000, 4},
		{1000, 240, 10},
		{20 << 10, 6, 3},
		{1 << 20, 3, 3},
	} {
		t.Run(fmt.Sprint(c.size), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, time.Hour)
				s := r.source(1)
				s.size = c.size
				s.push(uint64(c.messages), false)
				r.run(t)
				batches := r.soFar()
				if len(r.frames()) != c.messages || len(batches) != c.batches {
					t.Errorf("%d messages in %d batches, want %d in %d", len(r.frames()), len(batches), c.messages, c.batches)
				}
				for i, b := range batches {
					if len(b.frames) > maxBatchFrames || b.bytes >= maxBatchBytes+c.size+40 {
						t.Errorf("batch %d has %d frames, %d bytes", i, len(b.frames), b.bytes)
					}
				}
			})
		})
	}
}

// What becomes ready while the stream takes nothing is sent when it takes again: all of it, in order, once.
func TestBlockedStreamLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, time.Hour)
		a, b := r.source(1), r.source(2)
		r.block()
		a.push(1, false)
		r.run(t)
		for range 100 {
			a.push(1, false)
			b.push(2, false)
			time.Sleep(time.Millisecond)
		}
		b.owe()
		r.Draining("going")
		if n := len(r.soFar()); n != 1 {
			t.Fatalf("a blocked stream took %d batches", n)
		}
		r.unblock()
		time.Sleep(2 * receiptDelay)
		next := make(map[uint64]uint64)
		receipts, drainings := 0, 0
		for _, s := range r.soFar() {
			if s.draining != nil {
				drainings++
			}
			for _, f := range s.frames {
				if f.GetReceipt() != nil {
					receipts++
				} else if next[f.GetConnectionId()]++; f.GetData().GetSeq() != next[f.GetConnectionId()] {
					t.Errorf("connection %d: message %d, want %d", f.GetConnectionId(), f.GetData().GetSeq(), next[f.GetConnectionId()])
				}
			}
		}
		if next[1] != 101 || next[2] != 200 || receipts != 1 || drainings != 1 {
			t.Errorf("sent %v, %d receipts, %d drainings; want 101, 200, 1 and 1", next, receipts, drainings)
		}
	})
}

// However often a lane says that it is ready, it stands in the list once.
func TestReadyLaneStandsInTheListOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, time.Hour)
		r.block()
		s := r.source(1)
		r.Draining("") // occupies the stream
		r.run(t)
		for range 1000 {
			s.push(1, false)
		}
		r.unblock()
		if n := len(r.frames()); n != 1000 {
			t.Errorf("%d messages were sent", n)
		}
		if want := 1000/quantum + 1 + 1; s.pulls > want { // and one where the batch was full
			t.Errorf("the source was pulled from %d times, want %d at most", s.pulls, want)
		}
	})
}

func TestEndFlushesWhatStandsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, time.Hour)
		r.block()
		s := r.source(1)
		s.push(1, false)
		r.run(t)
		s.push(2000, false)
		r.Draining("bye")
		r.Reply(&holdfastv1.Frame{ConnectionId: 9})
		r.End()
		synctest.Wait()
		select {
		case <-r.done:
			t.Fatal("Run returned with a batch under way")
		default:
		}
		r.unblock()
		<-r.done
		if n := len(r.frames()); n != 2002 || !errors.Is(r.cause, ErrEnded) {
			t.Errorf("%d frames were sent, then Run returned %v; want 2002 and ErrEnded", n, r.cause)
		}
		if r.soFar()[1].draining.GetDetail() != "bye" {
			t.Error("the goodbye was not said")
		}
	})
}

// pullFunc is a Source.
type pullFunc func(*Lane, *Batch, int) bool

func (f pullFunc) Pull(lane *Lane, b *Batch, quantum int) bool { return f(lane, b, quantum) }

// A rider that comes while the batch is filled must not push out the one that is aboard.
func TestLateRiderJoinsTheBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, time.Hour)
		late := func(say func()) {
			NewLane(r.Writer, pullFunc(func(*Lane, *Batch, int) bool { say(); return false })).Ready(false)
		}
		r.Ping(&holdfastv1.PingMessage{Nonce: 7})
		late(func() { r.Draining("going") })
		late(func() { r.Ping(&holdfastv1.PingMessage{Nonce: 8}) })
		r.run(t)
		if b := r.soFar(); len(b) != 1 || b[0].draining.GetDetail() != "going" || b[0].ping.GetNonce() != 8 {
			t.Errorf("got %v, want one batch with the draining and ping 8", b)
		}
	})
}

func TestRepliesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, time.Hour)
		r.block()
		r.Draining("") // occupies the stream
		r.run(t)
		for i := range maxReplies {
			if !r.Reply(&holdfastv1.Frame{ConnectionId: uint64(i + 1)}) {
				t.Fatalf("reply %d was refused", i)
			}
		}
		if r.Reply(&holdfastv1.Frame{ConnectionId: 9999}) {
			t.Error("a reply over the bound was taken")
		}
		r.unblock()
		got := r.order()
		if len(got) != maxReplies || !slices.IsSorted(got) {
			t.Errorf("%d replies were sent: %v", len(got), got)
		}
		if !r.Reply(&holdfastv1.Frame{ConnectionId: 5}) || len(r.order()) != maxReplies+1 {
			t.Error("no reply is taken any more")
		}
	})
}

func TestLanesAreFirstInFirstOut(t *testing.T) {
	var l lanes
	all := make([]Lane, 1000)
	pushed, popped := 0, 0
	for round := range 60 { // grows, then shrinks, past the point where the room is reused
		for range 10 + 20*(round%2) {
			l.push(&all[pushed%len(all)])
			pushed++
		}
		for range 10 + 10*(round%3) {
			if l.empty() {
				break
			}
			if l.pop() != &all[popped%len(all)] {
				t.Fatalf("lane %d is out of order", popped)
			}
			popped++
		}
		if len(l.items) > 4*(pushed-popped)+200 {
			t.Fatalf("%d lanes take room for %d", pushed-popped, len(l.items))
		}
	}
	for ; !l.empty(); popped++ {
		l.pop()
	}
	if popped != pushed {
		t.Errorf("%d lanes came out, %d went in", popped, pushed)
	}
}
