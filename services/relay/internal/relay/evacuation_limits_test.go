package relay

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/services/relay/internal/config"
)

func oneMove(c *config.Config) { c.MaxMovesInFlight = 1 }

func (s *stage) inState(state holdfastv1.ConnectionState, guests []*guest) int {
	n := 0
	for _, g := range guests {
		if s.see(g).GetState() == state {
			n++
		}
	}
	return n
}

func TestOneMoveAtATime(t *testing.T) {
	onStage(t, oneMove, func(t *testing.T, s *stage) {
		tap, _ := s.server("app-1", echo, "a", "b")
		var guests []*guest
		for range 5 {
			guests = append(guests, s.on("a", "c"))
		}
		time.Sleep(time.Second)
		release := tap.hold("a", "out")
		r := s.startReload("a", time.Minute)
		time.Sleep(time.Second)
		if n := s.inState(holdfastv1.ConnectionState_CONNECTION_STATE_MIGRATING, guests); n != 1 {
			t.Errorf("%d handoffs are open, want 1", n)
		}
		release()
		p := r.last(t)
		if p.GetMoved() != 5 || p.GetPlanned() != 5 || !p.GetSafeToReload() {
			t.Errorf("got %v, want 5 moved", p)
		}
		for i, q := range r.progress {
			if q.GetPlanned() != 5 || q.GetDone() != (i == len(r.progress)-1) || (i > 0 && q.GetMoved() < r.progress[i-1].GetMoved()) {
				t.Errorf("progress %d: %v", i, q)
			}
		}
		for _, g := range guests {
			if err := g.exchange(3, 0); err != nil || s.where(g) != "b" {
				t.Errorf("through %s: %v", s.where(g), err)
			}
		}
	})
}

// A handoff that takes too long does not keep those of others waiting.
func TestOverdueHandoffGivesItsPlaceAway(t *testing.T) {
	onStage(t, oneMove, func(t *testing.T, s *stage) {
		tap, _ := s.server("app-1", echo, "a", "b", "c", "d")
		slow, other := s.on("a", "z"), s.on("b", "z")
		time.Sleep(time.Second)
		release := tap.hold("a", "out")
		s.startReload("a", time.Minute)
		s.startReload("b", time.Minute)
		time.Sleep(4900 * time.Millisecond) // the migration timeout is 5 s
		if s.where(other) != "b" {
			t.Error("a second handoff began while the first had its place")
		}
		time.Sleep(time.Second)
		if s.where(other) == "b" {
			t.Error("the second handoff did not begin after the migration timeout of the first")
		}
		release()
		time.Sleep(time.Second)
		for _, g := range []*guest{slow, other} {
			if err := g.exchange(3, 0); err != nil {
				t.Error(err)
			}
		}
		if where := s.where(slow); where != "c" && where != "d" {
			t.Errorf("the slow one is through %s", s.where(slow))
		}
	})
}

// While a move waits for its turn, the target that was chosen for it may go. The connection must not go with it: its
// app server has other server connections.
func TestTargetThatGoesBeforeTheTurnComes(t *testing.T) {
	for _, c := range []struct {
		name string
		lose func(s *stage, w *wires)
		want []string
	}{
		{"it is lost", func(_ *stage, w *wires) { w.cut("c") }, []string{"d", "e"}},
		{"it drains, and as it is empty the relay ends it", func(_ *stage, w *wires) {
			w.drain("c")
			time.Sleep(2 * time.Second) // two heartbeats; the app server has dialled c anew by then
		}, []string{"c"}},
		{"its ingress is reloaded", func(s *stage, _ *wires) { s.startReload("c", time.Minute) }, []string{"d", "e"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			change := func(c *config.Config) { c.MaxMovesInFlight, c.HeartbeatInterval = 1, time.Second }
			onStage(t, change, func(t *testing.T, s *stage) {
				tap, w := s.heldServer("app", echo, "a", "b", "c", "d", "e")
				s.on("a", "z")
				g, passing := s.on("b", "z"), s.on("c", "z")
				s.on("e", "z")
				time.Sleep(time.Second)
				release := tap.hold("a", "out")
				s.startReload("a", time.Minute) // what is on a goes to d, the least loaded, and has the only place
				passing.stop()                  // so that c is the least loaded now
				synctest.Wait()
				s.startReload("b", time.Minute)
				c.lose(s, w)
				release()
				synctest.Wait()
				if err := g.exchange(3, 0); err != nil {
					t.Fatal(err)
				}
				if !slices.Contains(c.want, s.where(g)) {
					t.Errorf("it is through %s, want one of %v", s.where(g), c.want)
				}
			})
		})
	}
}

// The same, and no place is waited for any more when the turn comes: another target must be found all the same.
func TestLostTargetIsReplaced(t *testing.T) {
	onStage(t, oneMove, func(t *testing.T, s *stage) {
		tap, w := s.heldServer("app", echo, "a", "b", "c", "e")
		first, second := s.on("b", "z"), s.on("b", "z")
		s.on("a", "z")
		time.Sleep(time.Second)
		release := tap.hold("a", "out")
		s.startReload("a", time.Minute)
		r := s.startReload("b", time.Minute) // one of the two waits for its turn, to the path that attached first
		w.shutDown(s.last("c", "e"))
		release()
		if p := r.last(t); !p.GetSafeToReload() || p.GetMoved() != 2 {
			t.Errorf("got %v", p)
		}
		for _, g := range []*guest{first, second} {
			if err := g.exchange(3, 0); err != nil || s.where(g) == "b" {
				t.Errorf("through %s: %v", s.where(g), err)
			}
		}
	})
}

func TestNewClientsAvoidDrainingPaths(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		s.server("app-1", echo, "a", "b")
		s.reload("a", time.Second)
		for range 4 {
			if g := s.guest("a"); s.where(g) != "b" {
				t.Errorf("a new client was placed on %s", s.where(g))
			}
		}
		s.complete("a")
		if g := s.guest("b"); s.where(g) != "a" {
			t.Errorf("back in service, the empty path was not taken but %s", s.where(g))
		}
	})
}

// With both ingresses out of service clients are served all the same, and moved as soon as one is back.
func TestDrainingPathsServeWhenThereIsNoOther(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		s.server("app-1", echo, "a", "b")
		s.reload("a", time.Second)
		s.reload("b", time.Second)
		guests := []*guest{s.guest("c"), s.guest("c"), s.guest("c")}
		s.complete("a")
		time.Sleep(time.Second)
		for _, g := range guests {
			if err := g.exchange(3, 0); err != nil || s.where(g) != "a" {
				t.Errorf("through %s: %v", s.where(g), err)
			}
		}
	})
}

func TestCancelEndsTheProgress(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		tap, _ := s.server("app-1", echo, "a", "b")
		g := s.on("a", "c")
		time.Sleep(time.Second)
		release := tap.hold("a", "out")
		r := s.startReload("a", time.Minute)
		if _, err := s.admin.CancelReload(s.ctx, &holdfastv1.CancelReloadRequest{Ingress: "a"}); err != nil {
			t.Fatal(err)
		}
		if p := r.last(t); !p.GetDone() || p.GetSafeToReload() {
			t.Errorf("after the cancellation: %v", p)
		}
		release()
		if err := g.exchange(3, 0); err != nil {
			t.Error(err)
		}
		if s.ingress("a").GetDraining() {
			t.Error("the ingress is out of service")
		}
	})
}

// Those whose turn had not come when the reload was cancelled stay where they are.
func TestCancelStopsTheMoves(t *testing.T) {
	onStage(t, oneMove, func(t *testing.T, s *stage) {
		tap, _ := s.server("app-1", echo, "a", "b")
		guests := []*guest{s.on("a", "c"), s.on("a", "c"), s.on("a", "c")}
		time.Sleep(time.Second)
		release := tap.hold("a", "out")
		s.startReload("a", time.Minute)
		if _, err := s.admin.CancelReload(s.ctx, &holdfastv1.CancelReloadRequest{Ingress: "a"}); err != nil {
			t.Fatal(err)
		}
		release()
		time.Sleep(time.Second)
		if a, b := s.ingress("a").GetLogicalConnections(), s.ingress("b").GetLogicalConnections(); a != 2 || b != 1 {
			t.Errorf("%d connections are on a and %d on b; want the one that was under way moved", a, b)
		}
		for _, g := range guests {
			if err := g.exchange(3, 0); err != nil {
				t.Error(err)
			}
		}
	})
}

// One that ends while it is moved is counted for the ingress that it was moved away from.
func TestConnectionThatClosesDuringItsMoveIsCounted(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		tap, _ := s.server("app-1", echo, "a", "b")
		leaver := s.on("a", "c")
		s.server("app-2", echo, "a")
		s.guest("c") // it has nowhere to go, so that the reload waits to the end
		time.Sleep(time.Second)
		release := tap.hold("a", "out")
		r := s.startReload("a", 10*time.Second)
		leaver.stop()
		synctest.Wait()
		release()
		if p := r.last(t); p.GetClosed()+p.GetMoved() != 1 || left(p) != "1 LEFT_REASON_NO_OTHER_SERVER_CONNECTION " {
			t.Errorf("got %v; want 1 closed or moved, and 1 left", p)
		}
	})
}
