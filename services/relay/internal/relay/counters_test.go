package relay

import (
	"testing"
	"time"

	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

func TestCountersFollowWhatHappens(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		s.server("app-1", echo, "a", "b")
		g := s.quietGuest("c")
		other := s.quietGuest("c")
		before := s.counter("holdfast.relay.frames", "transmit")
		if err := g.exchange(10, time.Millisecond); err != nil {
			t.Fatal(err)
		}
		s.move(g, "")
		if n := s.counter("holdfast.relay.frames", "transmit") - before; n < 12 { // 10 messages, Migrate, Ack
			t.Errorf("%d frames sent", n)
		}
		if n := s.counter("holdfast.relay.frames", "receive"); n < 14 { // 2 confirmations, 10 messages, barrier, receipt
			t.Errorf("%d frames received", n)
		}
		g.stop()
		if _, err := s.admin.CloseConnection(s.ctx, &holdfastv1.CloseConnectionRequest{ConnectionId: other.id}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		for _, c := range []struct {
			name, value string
			want        int64
		}{
			{"connections.opened", "", 2},
			{"connections.closed", "CLIENT_GONE", 1},
			{"connections.closed", "OPERATOR", 1},
			{"connections.closed", "", 2},
			{"moves", "moved", 1},
			{"moves", "", 1},
			{"frames.dropped", "", 0},
			{"errors", "", 0},
		} {
			if n := s.counter("holdfast.relay."+c.name, c.value); n != c.want {
				t.Errorf("%s{%s} counts %d, want %d", c.name, c.value, n, c.want)
			}
		}
	})
}

// A handoff whose previous path is lost is a move that ended, not one that moved.
func TestMoveThatEndsIsCounted(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		tap, _ := s.server("app-1", echo, "a", "b")
		g := s.on("a", "c")
		time.Sleep(time.Second)
		before := s.counter("holdfast.relay.moves", "moved")
		release := tap.hold("a", "out")
		defer release()
		s.startReload("a", time.Minute)
		if _, err := s.admin.CloseConnection(s.ctx, &holdfastv1.CloseConnectionRequest{ConnectionId: g.id}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute) // the path that is held falls silent
		if moved, ended := s.counter("holdfast.relay.moves", "moved"), s.counter("holdfast.relay.moves", "ended"); moved != before || ended != 1 {
			t.Errorf("%d moved and %d ended are counted, want none and 1", moved-before, ended)
		}
	})
}

func TestHealth(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		for name, l := range map[string]listener{"application": s.application, "operators": s.operators} {
			cc := s.conn(l, "")
			t.Cleanup(func() { _ = cc.Close() })
			r, err := healthv1.NewHealthClient(cc).Check(s.ctx, &healthv1.HealthCheckRequest{})
			if err != nil || r.GetStatus() != healthv1.HealthCheckResponse_SERVING {
				t.Errorf("%s: %v, %v", name, r, err)
			}
		}
	})
}
