package relay

import (
	"testing"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/services/relay/internal/config"
)

func quickBeat(c *config.Config) { c.HeartbeatInterval = time.Second }

// An app server that says on a path that it is about to go has what is on it moved, with no reload announced, whatever
// ingress the clients came in through; then the relay ends the empty server connection.
func TestDrainingMessageMovesWhatIsOnThePath(t *testing.T) {
	onStage(t, quickBeat, func(t *testing.T, s *stage) {
		w := s.wiredServer("app-1", echo, "a", "b")
		guests := []*guest{s.on("a", "c"), s.on("a", "a"), s.on("a", "b"), s.on("b", "a")}
		previous, target := s.path("a"), s.path("b")
		events := s.watch(&holdfastv1.WatchEventsRequest{})
		stopTraffic := s.traffic(guests...)
		w.drain("a")
		time.Sleep(2 * time.Second)
		if err := stopTraffic(); err != nil {
			t.Errorf("a client noticed: %v", err)
		}
		for i, g := range guests {
			if c := s.see(g); c.GetServerConnectionId() != target {
				t.Errorf("guest %d is on %s, want %s", i, c.GetServerConnectionId(), target)
			}
		}
		if now := s.path("a"); now == previous {
			t.Errorf("the relay has not ended the empty server connection %s", previous)
		}
		checkDrainingEvents(t, events.take(), previous, target)
		for name, want := range map[string]int64{"frames.dropped": 0, "errors": 0, "connections.closed": 0} {
			if n := s.counter("holdfast.relay."+name, ""); n != want {
				t.Errorf("%s counts %d, want %d", name, n, want)
			}
		}
		if n := s.counter("holdfast.relay.moves", "moved"); n < 3 {
			t.Errorf("%d moves are counted, want 3 and those of the preparation", n)
		}
	})
}

func checkDrainingEvents(t *testing.T, events []*holdfastv1.WatchEventsResponse, previous, target string) {
	t.Helper()
	var kinds []holdfastv1.EventKind
	for _, e := range events {
		if e.GetKind() == holdfastv1.EventKind_EVENT_KIND_CONNECTION_MOVED &&
			(e.GetPreviousServerConnectionId() != previous || e.GetServerConnectionId() != target) {
			t.Errorf("moved from %s to %s", e.GetPreviousServerConnectionId(), e.GetServerConnectionId())
		}
		if e.GetServerConnectionId() == previous || e.GetPreviousServerConnectionId() == previous {
			kinds = append(kinds, e.GetKind())
		}
	}
	want := []holdfastv1.EventKind{
		holdfastv1.EventKind_EVENT_KIND_SERVER_CONNECTION_DRAINING,
		holdfastv1.EventKind_EVENT_KIND_CONNECTION_MOVED,
		holdfastv1.EventKind_EVENT_KIND_CONNECTION_MOVED,
		holdfastv1.EventKind_EVENT_KIND_CONNECTION_MOVED,
		holdfastv1.EventKind_EVENT_KIND_SERVER_CONNECTION_ENDED,
	}
	if len(kinds) != len(want) {
		t.Fatalf("events about %s: %v, want %v", previous, kinds, want)
	}
	for i := range want {
		if kinds[i] != want[i] {
			t.Errorf("event %d about %s: %v, want %v", i, previous, kinds[i], want[i])
		}
	}
}

// The only path of an app server serves on when it drains, also new clients, until nobody is on it.
func TestOnlyPathServesWhileItDrains(t *testing.T) {
	onStage(t, quickBeat, func(t *testing.T, s *stage) {
		w := s.wiredServer("app-1", echo, "a")
		old := s.guest("c")
		path := s.path("a")
		w.drain("a")
		time.Sleep(3 * time.Second)
		late := s.guest("c")
		if got := s.see(late).GetServerConnectionId(); got != path {
			t.Errorf("a new client was placed on %s, want %s", got, path)
		}
		list := s.paths("a")
		if len(list) != 1 || !list[0].GetDraining() || list[0].GetLogicalConnections() != 2 {
			t.Errorf("server connections: %v", list)
		}
		for _, g := range []*guest{old, late} {
			if err := g.exchange(3, 0); err != nil {
				t.Error(err)
			}
			g.stop()
		}
		time.Sleep(20 * time.Second) // the app server redials
		if now := s.path("a"); now == path {
			t.Error("the relay has not ended the empty server connection")
		}
	})
}

func TestEmptyPathIsEndedWhenItDrains(t *testing.T) {
	onStage(t, quickBeat, func(t *testing.T, s *stage) {
		w := s.wiredServer("app-1", echo, "a", "b")
		path := s.path("a")
		events := s.watch(&holdfastv1.WatchEventsRequest{})
		w.drain("a")
		time.Sleep(20 * time.Second)
		ended := 0
		for _, e := range events.take() {
			if e.GetKind() == holdfastv1.EventKind_EVENT_KIND_SERVER_CONNECTION_ENDED {
				ended++
				if e.GetServerConnectionId() != path || e.GetDetail() != "ended on purpose" {
					t.Errorf("ended: %v", e)
				}
			}
		}
		if ended != 1 || s.path("a") == path {
			t.Errorf("%d server connections ended, %s is live; want %s ended and replaced", ended, s.path("a"), path)
		}
	})
}
