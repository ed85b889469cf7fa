package relay

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/services/relay/internal/config"
)

func TestReloadErrors(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		s.server("app-1", echo, "a", "b")
		s.reload("b", time.Second)
		reload := func(r *holdfastv1.ReloadIngressRequest) func(context.Context) error {
			return func(ctx context.Context) error {
				st, err := s.admin.ReloadIngress(ctx, r)
				if err == nil {
					_, err = st.Recv()
				}
				return err
			}
		}
		complete := func(ingress string) func(context.Context) error {
			return func(ctx context.Context) error {
				_, err := s.admin.CompleteReload(ctx, &holdfastv1.CompleteReloadRequest{Ingress: ingress})
				return err
			}
		}
		cancel := func(ingress string) func(context.Context) error {
			return func(ctx context.Context) error {
				_, err := s.admin.CancelReload(ctx, &holdfastv1.CancelReloadRequest{Ingress: ingress})
				return err
			}
		}
		for _, c := range []struct {
			name string
			call func(context.Context) error
			want string
			code codes.Code
		}{
			{"unknown ingress", reload(&holdfastv1.ReloadIngressRequest{Ingress: "x"}), "UNKNOWN_INGRESS", codes.NotFound},
			{"no name", reload(&holdfastv1.ReloadIngressRequest{}), "UNKNOWN_INGRESS", codes.NotFound},
			{"being reloaded", reload(&holdfastv1.ReloadIngressRequest{Ingress: "b"}), "RELOAD_IN_PROGRESS", codes.FailedPrecondition},
			{
				"wait of nothing", reload(&holdfastv1.ReloadIngressRequest{Ingress: "a", Wait: durationpb.New(0)}),
				"INVALID_FIELD", codes.InvalidArgument,
			},
			{
				"deadline of over a day", reload(&holdfastv1.ReloadIngressRequest{Ingress: "a", Deadline: durationpb.New(25 * time.Hour)}),
				"INVALID_FIELD", codes.InvalidArgument,
			},
			{"complete without a reload", complete("a"), "NO_RELOAD", codes.FailedPrecondition},
			{"complete an unknown one", complete("x"), "UNKNOWN_INGRESS", codes.NotFound},
			{"cancel without a reload", cancel("a"), "NO_RELOAD", codes.FailedPrecondition},
			{"cancel an unknown one", cancel("x"), "UNKNOWN_INGRESS", codes.NotFound},
			{"complete", complete("b"), "OK", codes.OK},
			{"complete again", complete("b"), "NO_RELOAD", codes.FailedPrecondition},
		} {
			err := c.call(s.ctx)
			if reasonOrCode(err) != c.want || status.Code(err) != c.code {
				t.Errorf("%s: %v, want %v and %v", c.name, err, c.want, c.code)
			}
		}
		if s.ingress("a").GetDraining() {
			t.Error("an ingress drains though no reload of it was begun")
		}
	})
}

// What cannot be moved is left where it is, with its reason, and lives on.
func TestReloadLeavesWithAReason(t *testing.T) {
	for _, c := range []struct {
		name     string
		servers  []string
		before   []string // ingresses that are being reloaded already
		guest    string   // the client's ingress
		left     string
		safe     bool
		leftOver uint32
	}{
		{"one server connection only", []string{"a"}, nil, "c", "1 LEFT_REASON_NO_OTHER_SERVER_CONNECTION ", false, 1},
		{"every target draining", []string{"a", "b"}, []string{"b"}, "c", "1 LEFT_REASON_TARGET_DRAINING ", false, 1},
		{"client through the ingress", []string{"a", "b"}, nil, "a", "1 LEFT_REASON_CLIENT_THROUGH_INGRESS ", true, 1},
		{"nothing", []string{"a", "b"}, nil, "c", "", true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			onStage(t, nil, func(t *testing.T, s *stage) {
				s.server("app-1", echo, c.servers...)
				g := s.on("a", c.guest)
				for _, ingress := range c.before {
					s.reload(ingress, time.Second)
				}
				p := s.reload("a", time.Second)
				if left(p) != c.left || p.GetSafeToReload() != c.safe || !p.GetDone() || p.GetMoved() != 1-c.leftOver {
					t.Errorf("got %v; want left %q, safe %v", p, c.left, c.safe)
				}
				if got := s.ingress("a").GetLogicalConnections(); got != c.leftOver {
					t.Errorf("%d connections are on the ingress, want %d", got, c.leftOver)
				}
				if err := g.exchange(5, 0); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// What is left on one ingress is no matter of another's reload.
func TestReloadsOfTwoIngressesAreCountedApart(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		s.server("app-1", echo, "a")
		s.guest("z")
		s.server("app-2", echo, "b", "c")
		s.on("b", "z")
		for _, c := range []struct {
			ingress     string
			safe        bool
			moved, left int
		}{{"a", false, 0, 1}, {"b", true, 1, 0}} {
			p := s.reload(c.ingress, time.Second)
			if p.GetSafeToReload() != c.safe || int(p.GetMoved()) != c.moved || int(p.GetPlanned()) != c.moved || len(p.GetLeft()) != c.left {
				t.Errorf("got %v, want safe %v, %d moved, %d left", p, c.safe, c.moved, c.left)
			}
		}
	})
}

// A connection that its app server has not confirmed is waited for, and said to be the reason when it never does.
func TestReloadWaitsForTheUnconfirmed(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		tap, _ := s.server("app-1", echo, "a", "b")
		hold := tap.hold("a", "out")
		release := tap.hold("b", "out")
		g := s.quietGuest("c")
		ingress := s.where(g)
		p := s.reload(ingress, time.Second)
		if left(p) != "1 LEFT_REASON_OPENING " || p.GetSafeToReload() || p.GetElapsed().AsDuration() < time.Second {
			t.Errorf("got %v; want it waited for and left", p)
		}
		hold()
		release()
		time.Sleep(time.Second)
		if s.where(g) == ingress {
			t.Error("confirmed late, it was not moved")
		}
		if err := g.exchange(5, 0); err != nil {
			t.Error(err)
		}
	})
}

// A handoff that does not end within the wait makes the reload unsafe.
func TestReloadWaitsForOpenHandoffs(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		tap, _ := s.server("app-1", echo, "a", "b")
		g := s.on("a", "c")
		time.Sleep(time.Second)
		release := tap.hold("a", "out")
		p := s.reload("a", 2*time.Second)
		if left(p) != "1 LEFT_REASON_IN_HANDOFF " || p.GetSafeToReload() || p.GetPlanned() != 1 || p.GetMoved() != 0 {
			t.Errorf("got %v; want it in a handoff, not safe", p)
		}
		if got := s.see(g).GetState(); got != holdfastv1.ConnectionState_CONNECTION_STATE_MIGRATING {
			t.Errorf("it is listed as %v", got)
		}
		release()
		time.Sleep(time.Second)
		if c := s.see(g); c.GetServerIngress() != "b" || c.GetState() != holdfastv1.ConnectionState_CONNECTION_STATE_STABLE {
			t.Errorf("after the handoff: %v", c)
		}
	})
}

// The app server attaches through another ingress while the reload waits.
func TestServerConnectionThatAttachesDuringTheWaitIsATarget(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		open := s.serverWithClosedDoor("app-1", echo, "a", "b")
		g := s.guest("c")
		r := s.startReload("a", time.Minute)
		open()
		if p := r.last(t); !p.GetSafeToReload() || p.GetMoved() != 1 || s.where(g) != "b" {
			t.Errorf("got %v with the connection through %s; want it moved to b and safe", p, s.where(g))
		}
	})
}

// It is moved all the same, though nobody waits for it any more.
func TestServerConnectionThatAttachesAfterTheReloadIsATarget(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		open := s.serverWithClosedDoor("app-1", echo, "a", "b")
		g := s.guest("c")
		if p := s.reload("a", time.Second); p.GetSafeToReload() {
			t.Errorf("safe with a connection that had nowhere to go: %v", p)
		}
		open()
		time.Sleep(time.Minute)
		if s.where(g) != "b" {
			t.Errorf("the connection is through %s", s.where(g))
		}
		if err := g.exchange(5, 0); err != nil {
			t.Error(err)
		}
	})
}

// An operator who goes away leaves the ingress out of service, until the deadline returns it.
func TestCallerWhoGoesAwayLeavesTheIngressDraining(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		tap, _ := s.server("app-1", echo, "a", "b")
		s.on("a", "c")
		time.Sleep(time.Second)
		release := tap.hold("a", "out")
		r := s.startReload("a", 30*time.Second)
		r.cancel()
		<-r.done
		if status.Code(r.err) != codes.Canceled {
			t.Errorf("the call ended with %v", r.err)
		}
		synctest.Wait()
		if !s.ingress("a").GetDraining() {
			t.Error("the ingress is in service")
		}
		release()
		time.Sleep(time.Second)
		if got := s.ingress("a").GetLogicalConnections(); got != 0 {
			t.Errorf("%d connections are left on it", got)
		}
	})
}

func TestIngressReturnsByItselfAtTheDeadline(t *testing.T) {
	for _, c := range []struct {
		name     string
		deadline *durationpb.Duration
		want     time.Duration
	}{
		{"the request's", durationpb.New(time.Minute), time.Minute},
		{"the relay's", nil, 3 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			change := func(cfg *config.Config) { cfg.ReloadDeadline = 3 * time.Minute }
			onStage(t, change, func(t *testing.T, s *stage) {
				s.server("app-1", echo, "a", "b")
				began := time.Now()
				st, err := s.admin.ReloadIngress(s.ctx, &holdfastv1.ReloadIngressRequest{Ingress: "a", Deadline: c.deadline})
				if err != nil {
					t.Fatal(err)
				}
				p, err := st.Recv()
				if err != nil || !p.GetReturnsAt().AsTime().Equal(began.Add(c.want)) {
					t.Errorf("got %v, %v; want it to return %v after %v", p, err, c.want, began)
				}
				time.Sleep(c.want - time.Second)
				if i := s.ingress("a"); !i.GetDraining() || !i.GetReturnsAt().AsTime().Equal(began.Add(c.want)) {
					t.Errorf("before the deadline: %v", i)
				}
				time.Sleep(2 * time.Second)
				if i := s.ingress("a"); i.GetDraining() || i.GetReturnsAt() != nil {
					t.Errorf("after the deadline: %v", i)
				}
			})
		})
	}
}
