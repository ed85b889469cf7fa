package relay

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/appserver"
	"github.com/holdfast/holdfast/services/relay/internal/config"
)

// Who is on a server connection that breaks notices nothing, whatever was on its way.
func TestLostServerConnection(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		w := s.wiredServer("app-1", echo, "a", "b")
		lost, other := s.on("a", "c"), s.on("b", "c")
		stop := s.traffic(lost, other)
		time.Sleep(time.Second)
		for range 20 {
			w.cut("a")
			time.Sleep(300 * time.Millisecond) // both are on b now, and the app server dials a anew
			w.cut("b")
			time.Sleep(20 * time.Second) // for the redial
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if n := s.counter("holdfast.relay.moves", "resumed"); n < 40 {
			t.Errorf("%d resumes are counted", n)
		}
		if n := s.counter("holdfast.relay.connections.closed", ""); n != 0 {
			t.Errorf("%d connections were closed", n)
		}
	})
}

// Each row of the failure table: a handoff is stopped at a step, a path is lost there, and a resume carries on.
func TestLossInAHandoff(t *testing.T) {
	for _, c := range []struct {
		name string
		// hold is the direction, as the app server sees it, in which the handoff from a to b is held up.
		hold []string
		lose string
		want string // the ingress that carries the connection then
		// steps are frames of the resume that must have passed, in order, among others.
		steps string
	}{
		{"previous dies before step 6", []string{"a out"}, "a", "b", "b<migrate b<resume b>withack"},
		{"previous dies between 6 and 7", []string{"a in"}, "a", "b", "a>withack b<resume b>withack"},
		{"previous dies between 7 and 8", []string{"b out"}, "a", "b", "a<ack b<resume b>withack"},
		{"target dies before step 4", []string{"b in"}, "b", "c", "c<resume c>withack"},
		{"target dies before step 6", []string{"a out"}, "b", "c", "b<migrate c<resume c>withack"},
		{"target dies before step 8", []string{"b out"}, "b", "c", "a<ack c<resume c>withack"},
		{"both die", []string{"a out"}, "a b", "c", "b<migrate c<resume c>withack"},
	} {
		t.Run(c.name, func(t *testing.T) {
			onStage(t, nil, func(t *testing.T, s *stage) {
				tap, _ := s.server("app-1", echo, "a", "b", "c")
				s.on("c", "z") // so that b is the least loaded
				g := s.on("a", "z")
				time.Sleep(time.Second)
				tap.take()
				var releases []func()
				for _, hold := range c.hold {
					ingress, direction, _ := strings.Cut(hold, " ")
					releases = append(releases, tap.hold(ingress, direction))
				}
				s.startReload("a", time.Minute)
				for range 3 {
					if err := g.send(); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				for _, ingress := range strings.Fields(c.lose) {
					tap.cut(ingress)
				}
				for _, release := range releases {
					release()
				}
				time.Sleep(time.Second)
				if got := s.where(g); got != c.want {
					t.Errorf("it is on %s, want %s", got, c.want)
				}
				if notes := tap.take(); !inOrder(notes, strings.Fields(c.steps)) {
					t.Errorf("%v did not pass in this order: %v", c.steps, notes)
				}
				for range 3 {
					if err := g.receive(); err != nil {
						t.Error(err)
					}
				}
			})
		})
	}
}

// inOrder reports whether the notes have words that begin so, in that order.
func inOrder(notes, want []string) bool {
	for _, n := range notes {
		if len(want) > 0 && strings.HasPrefix(n, want[0]) {
			want = want[1:]
		}
	}
	return len(want) == 0
}

// A handoff that is not answered is given up for a resume elsewhere, and the path that said nothing is avoided.
func TestMigrationTimeout(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		tap, _ := s.server("app-1", echo, "a", "b", "c")
		g := s.on("a", "z")
		s.on("a", "z")
		s.on("c", "z") // so that b is the least loaded
		time.Sleep(time.Second)
		release := tap.hold("b", "in")
		_, err := s.admin.MoveConnection(s.ctx, &holdfastv1.MoveConnectionRequest{ConnectionId: g.id, TargetServerConnectionId: s.path("b")})
		if reasonOrCode(err) != "NOT_MOVABLE" || !strings.Contains(err.Error(), "timed_out") {
			t.Errorf("the operator was told %v", err)
		}
		time.Sleep(time.Second)
		if got := s.where(g); got == "b" {
			t.Errorf("it is on %s, which does not answer", got)
		}
		if err := g.exchange(5, 0); err != nil {
			t.Error(err)
		}
		release()
		time.Sleep(time.Second)
		if err := g.exchange(5, 0); err != nil {
			t.Errorf("after the late frames of b: %v", err)
		}
		for outcome, want := range map[string]int64{"timed_out": 1, "resumed": 1} {
			if n := s.counter("holdfast.relay.moves", outcome); n != want {
				t.Errorf("%d moves %s are counted, want %d", n, outcome, want)
			}
		}
	})
}

// With no server connection left a connection is parked; it goes on when the app server is back in time.
func TestParking(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		w := s.wiredServer("app-1", echo, "a")
		g := s.guest("z")
		events := s.watch(&holdfastv1.WatchEventsRequest{})
		w.shutDown("a")
		if err := g.send(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		if c := s.see(g); c.GetState() != holdfastv1.ConnectionState_CONNECTION_STATE_PARKED || c.GetServerId() != "app-1" {
			t.Errorf("it is listed as %v", c)
		}
		w.open("a")
		time.Sleep(9 * time.Second) // the app server dials every five seconds or so
		if err := g.receive(); err != nil {
			t.Errorf("what was sent to a parked connection: %v", err)
		}
		var kinds []string
		for _, e := range events.take() {
			if e.GetConnectionId() == g.id {
				kinds = append(kinds, strings.TrimPrefix(e.GetKind().String(), "EVENT_KIND_"))
			}
		}
		if !slices.Equal(kinds, []string{"CONNECTION_PARKED", "CONNECTION_RESUMED"}) {
			t.Errorf("events: %v", kinds)
		}
	})
}

// When the app server is not back in time, the client is told; likewise when it comes back as another process.
func TestParkingEnds(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*config.Config)
		then   func(s *stage)
		within time.Duration
		detail string
	}{
		{"after the park time", nil, func(*stage) {}, 31 * time.Second, "had no server connection for the park time of 30s"},
		{
			"with no park time", func(c *config.Config) { c.ParkTime = 0 },
			func(*stage) {}, time.Second, "had no server connection for the park time of 0s",
		},
		{
			"with another process", nil,
			func(s *stage) { s.server("app-1", echo, "b") }, time.Second, `app server "app-1" came back as another process`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			onStage(t, c.change, func(t *testing.T, s *stage) {
				w := s.wiredServer("app-1", echo, "a")
				g := s.guest("z")
				w.shutDown("a")
				lost := time.Now()
				c.then(s)
				_, err := g.stream.Recv()
				if reasonOrCode(err) != "SERVER_LOST" || status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), c.detail) {
					t.Errorf("the client saw %v, want %q", err, c.detail)
				}
				if after := time.Since(lost); after > c.within {
					t.Errorf("it was told after %v", after)
				}
				time.Sleep(time.Second)
				for range s.relay.registry.Connections() {
					t.Error("the connection is there still")
				}
			})
		})
	}
}

// A connection that its app server has not confirmed is opened again elsewhere: the handler runs once, and gets all.
func TestUnconfirmedConnectionIsOpenedAgain(t *testing.T) {
	for _, c := range []struct{ name, hold string }{
		{"the app server knows nothing of it", "in"},
		{"the app server knows it", "out"},
	} {
		t.Run(c.name, func(t *testing.T) {
			onStage(t, nil, func(t *testing.T, s *stage) {
				tap, _ := s.server("app-1", echo, "a", "b")
				first := "a"
				if s.last("a", "b") == "a" {
					first = "b" // both are idle: the one that attached first is chosen
				}
				release := tap.hold(first, c.hold)
				g := s.quietGuest("z")
				for range 3 {
					if err := g.send(); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(100 * time.Millisecond)
				tap.cut(first)
				release()
				for range 3 {
					if err := g.receive(); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(time.Second)
				if n := s.counter("holdfast.relay.connections.closed", ""); n != 0 {
					t.Errorf("%d connections were closed", n)
				}
			})
		})
	}
}

// A client that takes nothing is closed; one that takes little is not.
func TestSlowClient(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		s.server("app-1", appserver.HandlerFunc(func(ctx context.Context, c *appserver.Connection) error {
			return (&flood{}).ServeConnection(ctx, c)
		}), "a")
		stuck, slow := s.quietGuest("c"), s.quietGuest("c")
		for range 20 {
			time.Sleep(5 * time.Second)
			for range 10 { // its transport asks for more every 16 KiB
				if _, err := slow.stream.Recv(); err != nil {
					t.Fatalf("a client that takes little: %v", err)
				}
			}
		}
		var err error
		for err == nil {
			_, err = stuck.stream.Recv()
		}
		if reasonOrCode(err) != "SLOW_CONSUMER" {
			t.Errorf("the client that takes nothing saw %v", err)
		}
		if n := s.counter("holdfast.relay.connections.closed", "SLOW_CONSUMER"); n != 1 {
			t.Errorf("%d are counted", n)
		}
	})
}
