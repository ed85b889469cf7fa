package event

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// numbered makes an event whose detail is the number.
func numbered(n int) func() *Event {
	return func() *Event { return &Event{Detail: fmt.Sprint(n)} }
}

// next takes the next event, or fails when there is none.
func next(t *testing.T, w *Watcher) *Event {
	t.Helper()
	select {
	case e := <-w.C:
		return e
	default:
		t.Fatal("there is no event")
		return nil
	}
}

func TestEachWatcherSeesAllInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h Hub
		first, second := h.Watch(), h.Watch()
		h.Publish(numbered(1))
		late := h.Watch()
		h.Publish(numbered(2))
		h.Unwatch(second)
		h.Publish(numbered(3))
		for _, c := range []struct {
			w    *Watcher
			want []string
		}{{first, []string{"1", "2", "3"}}, {second, []string{"1", "2"}}, {late, []string{"2", "3"}}} {
			for _, want := range c.want {
				if e := next(t, c.w); e.GetDetail() != want || e.GetTime() == nil {
					t.Errorf("got %v, want event %s with a time", e, want)
				}
			}
			if len(c.w.C) != 0 {
				t.Errorf("%d events more than %v", len(c.w.C), c.want)
			}
		}
	})
}

func TestNothingIsBuiltWithoutWatchers(t *testing.T) {
	var h Hub
	built := 0
	build := func() *Event {
		built++
		return &Event{}
	}
	h.Publish(build)
	w := h.Watch()
	h.Publish(build)
	h.Unwatch(w)
	h.Publish(build)
	if built != 1 {
		t.Errorf("%d events were built, want the one that was watched", built)
	}
}

// A watcher that takes nothing never blocks others and is told, in its place in the order, how many it missed.
func TestSlowWatcherIsToldHowManyItMissed(t *testing.T) {
	var h Hub
	slow, quick := h.Watch(), h.Watch()
	const missed = 5
	for i := range watcherBuffer + missed {
		h.Publish(numbered(i))
		if e := next(t, quick); e.GetDetail() != fmt.Sprint(i) {
			t.Fatalf("the quick watcher got %v, want %d", e, i)
		}
	}
	next(t, slow) // room for the message, but not for the event behind it
	h.Publish(numbered(-1))
	for i := 1; i < watcherBuffer; i++ {
		if e := next(t, slow); e.GetDetail() != fmt.Sprint(i) {
			t.Fatalf("the slow watcher got %v, want %d", e, i)
		}
	}
	if e := next(t, slow); e.GetKind() != holdfastv1.EventKind_EVENT_KIND_MISSED || e.GetMissed() != missed || e.GetTime() == nil {
		t.Errorf("got %v, want %d missed", e, missed)
	}
	h.Publish(numbered(-2))
	if e := next(t, slow); e.GetMissed() != 1 { // the one that found no room behind the message
		t.Errorf("got %v, want 1 missed", e)
	}
	if e := next(t, slow); e.GetDetail() != "-2" {
		t.Errorf("got %v, want event -2", e)
	}
}

// Every event that is not in the channel is in a count of missed ones, whoever publishes, watches and leaves beside.
func TestNoEventIsUnaccountedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h Hub
		const publishers, each = 4, 3000
		w := h.Watch()
		var wg sync.WaitGroup
		for range publishers {
			wg.Go(func() {
				for range each {
					h.Publish(func() *Event { return &Event{} })
				}
			})
			wg.Go(func() {
				for range 200 {
					h.Unwatch(h.Watch())
				}
			})
		}
		done := make(chan struct{})
		var seen uint64
		count := func(e *Event) {
			if seen += e.GetMissed(); e.GetMissed() == 0 {
				seen++
			}
		}
		go func() {
			defer close(done)
			for seen < publishers*each/2 {
				count(<-w.C)
			}
		}()
		wg.Wait()
		<-done
		for len(w.C) > 0 {
			count(<-w.C)
		}
		h.Publish(func() *Event { return &Event{} }) // has it told of what it missed last
		for len(w.C) > 0 {
			count(<-w.C)
		}
		if seen != publishers*each+1 {
			t.Errorf("%d events were seen or counted as missed, want %d", seen, publishers*each+1)
		}
	})
}
