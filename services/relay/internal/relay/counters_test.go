package relay

import (
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"
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

// Each move ends in one outcome: a handoff that is not answered as one that timed out, and the resume that follows as its own.
func TestOutcomesAreCounted(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		tap, _ := s.server("app-1", echo, "a", "b")
		g := s.on("a", "c")
		time.Sleep(time.Second)
		before := s.counter("holdfast.relay.moves", "moved")
		release := tap.hold("a", "out")
		defer release()
		s.startReload("a", time.Minute)
		time.Sleep(2 * time.Minute) // the path that is held falls silent
		if err := g.exchange(1, 0); err != nil {
			t.Error(err)
		}
		for outcome, want := range map[string]int64{
			"moved": before, "timed_out": 1, "resumed": 1, "path_lost": 0, "connection_ended": 0, "": before + 2,
		} {
			if n := s.counter("holdfast.relay.moves", outcome); n != want {
				t.Errorf("%d moves are counted as %q, want %d", n, outcome, want)
			}
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

// A rate needs a value before the first one: what is to be watched is there from the start.
func TestMovesAreShownFromZero(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		var rm metricdata.ResourceMetrics
		if err := s.reader.Collect(s.ctx, &rm); err != nil {
			t.Fatal(err)
		}
		series := 0
		for _, m := range rm.ScopeMetrics[0].Metrics {
			if m.Name == "holdfast.relay.moves" {
				for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
					series++
					if p.Value != 0 {
						t.Errorf("%v is %d with nothing moved", p.Attributes, p.Value)
					}
				}
			}
		}
		if series != 6 { // three reasons to move, and three to resume
			t.Errorf("%d series are shown, want 6", series)
		}
	})
}
