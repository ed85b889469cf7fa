package relay

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/appserver"
	"github.com/holdfast/holdfast/services/relay/internal/config"
)

// shows says in a line, sorted, what the metric of the relay shows: the values of the attributes, and the number, of each point
// that is not 0. Of a histogram the number is how much was recorded.
func (h *harness) shows(name string) string {
	h.t.Helper()
	var rm metricdata.ResourceMetrics
	if err := h.reader.Collect(context.Background(), &rm); err != nil {
		h.t.Fatal(err)
	}
	var points []string
	point := func(attributes attribute.Set, value any) {
		if fmt.Sprint(value) == "0" {
			return
		}
		var words []string
		for _, kv := range attributes.ToSlice() {
			words = append(words, kv.Value.String())
		}
		points = append(points, strings.Join(append(words, fmt.Sprint(value)), " "))
	}
	for _, scope := range rm.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name != "holdfast.relay."+name {
				continue
			}
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					point(p.Attributes, p.Value)
				}
			case metricdata.Gauge[float64]:
				for _, p := range data.DataPoints {
					point(p.Attributes, p.Value)
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					point(p.Attributes, p.Count)
				}
			}
		}
	}
	slices.Sort(points)
	return strings.Join(points, ", ")
}

func (s *stage) expectShows(want map[string]string) {
	s.t.Helper()
	for name, points := range want {
		if got := s.shows(name); got != points {
			s.t.Errorf("%s shows %q, want %q", name, got, points)
		}
	}
}

func TestGaugesFollowWhatIsConnected(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		s.expectShows(map[string]string{"logical_connections": "", "app_servers": "", "server_connections": "", "client_connections": ""})
		s.server("app-1", echo, "a", "b")
		one, _ := s.on("a", "c"), s.on("b", "c")
		s.expectShows(map[string]string{
			"logical_connections": "echo a 1, echo b 1", "client_connections": "c 2", "parked_connections": "", "moves.open": "",
			"server_connections": "echo false a 1, echo false b 1", "app_servers": "echo several 1",
		})
		s.reload("a", time.Second)
		s.expectShows(map[string]string{
			"logical_connections": "echo b 2", "server_connections": "echo false b 1, echo true a 1", "app_servers": "echo one 1",
		})
		s.complete("a")
		one.stop()
		time.Sleep(time.Second)
		s.expectShows(map[string]string{"logical_connections": "echo b 1", "client_connections": "c 1", "app_servers": "echo several 1"})
	})
}

// An app server all of whose server connections came in through one ingress loses them all with it.
func TestGaugeOfAppServersBehindOneIngress(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		s.server("app-1", echo, "a", "a")
		s.server("app-2", echo, "a", "b")
		s.server("app-3", echo, "")
		time.Sleep(30 * time.Second) // for the first one to give up spreading
		s.expectShows(map[string]string{"app_servers": "echo none 1, echo one 1, echo several 1"})
	})
}

func TestGaugesOfALoss(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		wires := s.wiredServer("app-1", echo, "a")
		g := s.on("a", "c")
		wires.shutDown("a")
		s.expectShows(map[string]string{"parked_connections": "1", "logical_connections": "", "moves.open": ""})
		wires.open("a")
		if err := g.exchange(1, 0); err != nil {
			t.Fatal(err)
		}
		s.expectShows(map[string]string{"parked_connections": "", "logical_connections": "echo a 1", "pause.duration": "resume 1"})
	})
}

// A handoff that nobody answers shows its age, and the resume that follows goes on from the loss.
func TestGaugeOfTheOldestMove(t *testing.T) {
	onStage(t, func(c *config.Config) { c.MigrationTimeout = 20 * time.Second; c.HeartbeatInterval = 10 * time.Minute }, func(t *testing.T, s *stage) {
		tap, _ := s.server("app-1", echo, "a", "b")
		s.on("a", "c")
		time.Sleep(time.Second)
		release, releaseOther := tap.hold("a", "out"), tap.hold("b", "out")
		s.startReload("a", time.Minute)
		time.Sleep(10 * time.Second)
		s.expectShows(map[string]string{"moves.open": "handoff 1", "moves.oldest_age": "handoff 10"})
		time.Sleep(25 * time.Second)
		if got := s.shows("moves.open"); got != "resume 1" {
			t.Errorf("moves.open shows %q", got)
		}
		release()
		releaseOther()
		time.Sleep(time.Minute)
		s.expectShows(map[string]string{"moves.open": "", "moves.oldest_age": ""})
	})
}

func TestDurationsOfAnEvacuation(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		s.server("app-1", echo, "a", "b")
		var all []*guest
		for range 5 {
			all = append(all, s.on("a", "c"))
		}
		phases := s.shows("move.phase.duration")
		operator := 0
		if phases != "" { // some had to be moved to a by hand
			_, err := fmt.Sscanf(phases, "ack_to_receipt %d,", &operator)
			if err != nil {
				t.Fatalf("%q: %v", phases, err)
			}
		}
		s.expectShows(map[string]string{"evacuation.duration": ""}) // an operator's move is none
		s.reload("a", time.Second)
		s.reload("b", time.Second) // nowhere to go, so that nothing is evacuated
		s.expectShows(map[string]string{
			"evacuation.duration": "1", "pause.duration": fmt.Sprintf("handoff %d", len(all)+operator),
			"move.phase.duration": fmt.Sprintf("ack_to_receipt %[1]d, migrate_to_with_ack %[1]d", len(all)+operator),
		})
	})
}

// What is held for a client that takes nothing, and for an app server that does not, is shown once clients were looked at.
func TestGaugesOfBytes(t *testing.T) {
	onStage(t, func(c *config.Config) { c.SlowClientTimeout = time.Hour }, func(t *testing.T, s *stage) {
		deaf := appserver.HandlerFunc(func(ctx context.Context, _ *appserver.Connection) error {
			<-ctx.Done()
			return nil
		})
		s.server("app-1", deaf, "a")
		g := s.quietGuest("c")
		s.expectShows(map[string]string{"retained": "", "buffered": ""})
		if err := g.stream.Send(&holdfastv1.ConnectRequest{Content: &holdfastv1.ConnectRequest_Binary{Binary: make([]byte, 1000)}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		s.expectShows(map[string]string{"retained": "1064", "buffered": ""})
	})
}

func TestRoundTripsOfHeartbeats(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		s.server("app-1", echo, "a", "b")
		time.Sleep(2*s.relay.config.HeartbeatInterval + time.Second)
		synctest.Wait()
		if got := s.shows("heartbeat.duration"); !strings.HasPrefix(got, "a ") || !strings.Contains(got, ", b ") {
			t.Errorf("heartbeat.duration shows %q", got)
		}
	})
}
