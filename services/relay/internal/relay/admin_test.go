package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/appserver"
)

func TestMoveConnection(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		s.server("app-1", echo, "a", "b", "c")
		g := s.on("a", "z")
		s.on("b", "z")
		if r := s.move(g, s.path("b")); r.GetServerConnectionId() != s.path("b") || s.where(g) != "b" {
			t.Errorf("moved to %v, is through %s; want b", r, s.where(g))
		}
		if s.move(g, ""); s.where(g) == "b" { // the least loaded one is a or c
			t.Error("moved nowhere")
		}
		if err := g.exchange(3, 0); err != nil {
			t.Error(err)
		}
		if got, want := s.see(g).GetState(), holdfastv1.ConnectionState_CONNECTION_STATE_STABLE; got != want {
			t.Errorf("it is %v, want %v", got, want)
		}
	})
}

func TestMoveAndCloseErrors(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		s.server("app-1", echo, "a", "b")
		g := s.on("a", "z")
		s.server("app-2", echo, "d")
		lone := s.guest("z") // on the idle app server
		for _, c := range []struct{ name, id, target, want string }{
			{"no id", "", "", "INVALID_FIELD"},
			{"an id that is none", "17", "", "INVALID_FIELD"},
			{"unknown connection", "00000000000000aa", "", "UNKNOWN_CONNECTION"},
			{"unknown target", g.id, "app-1/99", "NOT_MOVABLE"},
			{"the path that it is on", g.id, s.path("a"), "NOT_MOVABLE"},
			{"a path of another app server", g.id, s.path("d"), "NOT_MOVABLE"},
			{"no other path", lone.id, "", "NOT_MOVABLE"},
		} {
			_, err := s.admin.MoveConnection(s.ctx, &holdfastv1.MoveConnectionRequest{ConnectionId: c.id, TargetServerConnectionId: c.target})
			if reasonOrCode(err) != c.want {
				t.Errorf("move, %s: %v, want %s", c.name, err, c.want)
			}
			if c.want == "NOT_MOVABLE" {
				continue
			}
			_, err = s.admin.CloseConnection(s.ctx, &holdfastv1.CloseConnectionRequest{ConnectionId: c.id})
			if reasonOrCode(err) != c.want {
				t.Errorf("close, %s: %v, want %s", c.name, err, c.want)
			}
		}
		if s.where(g) != "a" {
			t.Errorf("after errors only, the connection is through %s", s.where(g))
		}
	})
}

// A connection in a handoff is not moved again, and one that is closed in a handoff ends the wait of who moves it.
func TestMoveDuringAHandoff(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		tap, _ := s.server("app-1", echo, "a", "b", "c")
		g := s.on("a", "z")
		time.Sleep(time.Second)
		release := tap.hold("a", "out")
		moved := make(chan error, 1)
		move := func(ingress string) error {
			_, err := s.admin.MoveConnection(s.ctx, &holdfastv1.MoveConnectionRequest{
				ConnectionId: g.id, TargetServerConnectionId: s.path(ingress),
			})
			return err
		}
		go func() { moved <- move("b") }()
		synctest.Wait()
		if err := move("c"); reasonOrCode(err) != "NOT_MOVABLE" {
			t.Errorf("a second move: %v", err)
		}
		if _, err := s.admin.CloseConnection(s.ctx, &holdfastv1.CloseConnectionRequest{ConnectionId: g.id}); err != nil {
			t.Error(err)
		}
		release()
		if err := <-moved; err != nil && reasonOrCode(err) != "NOT_MOVABLE" {
			t.Errorf("the first move: %v", err)
		}
	})
}

// The only other path of the app server drains: a move there would be undone, or end with the path.
func TestMoveToADrainingPathIsRefused(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		s.server("app-1", echo, "a", "b")
		g := s.on("a", "z")
		s.reload("b", time.Second)
		_, err := s.admin.MoveConnection(s.ctx, &holdfastv1.MoveConnectionRequest{ConnectionId: g.id})
		if reasonOrCode(err) != "NOT_MOVABLE" {
			t.Errorf("got %v", err)
		}
	})
}

// What was sent before an operator closes arrives; both sides learn why.
func TestCloseConnection(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		ended := make(chan error, 1)
		handler := appserver.HandlerFunc(func(ctx context.Context, c *appserver.Connection) error {
			for {
				if _, err := c.Receive(ctx); err != nil {
					ended <- err
					return err
				}
			}
		})
		s.server("app-1", handler, "a", "b")
		g := s.quietGuest("z")
		if _, err := s.admin.CloseConnection(s.ctx, &holdfastv1.CloseConnectionRequest{ConnectionId: g.id}); err != nil {
			t.Fatal(err)
		}
		if _, err := g.stream.Recv(); status.Code(err) != codes.Aborted || reasonOrCode(err) != "OPERATOR" {
			t.Errorf("the client saw %v", err)
		}
		closed := new(appserver.CloseError)
		if err := <-ended; !errors.As(err, &closed) || closed.Reason != holdfastv1.CloseReason_CLOSE_REASON_OPERATOR {
			t.Errorf("the handler saw %v", err)
		}
		time.Sleep(time.Second)
		if s.see(g) != nil {
			t.Error("the connection is listed still")
		}
		if n := s.counter("holdfast.relay.connections.closed", "OPERATOR"); n != 1 {
			t.Errorf("%d closed connections are counted", n)
		}
		_, err := s.admin.CloseConnection(s.ctx, &holdfastv1.CloseConnectionRequest{ConnectionId: g.id})
		if reasonOrCode(err) != "UNKNOWN_CONNECTION" {
			t.Errorf("a second time: %v", err)
		}
	})
}

func TestListClientConnectionsPages(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		s.server("app-1", echo, "a", "b")
		var want []string
		for range 7 {
			want = append(want, s.guest("c").id)
		}
		slices.Sort(want)
		for size := range uint32(9) {
			var got []string
			request := &holdfastv1.ListClientConnectionsRequest{PageSize: size}
			for pages := 1; ; pages++ {
				list, err := s.admin.ListClientConnections(s.ctx, request)
				if err != nil || list.GetTotal() != 7 {
					t.Fatalf("page size %d: %v, %v", size, list, err)
				}
				for _, c := range list.GetClientConnections() {
					got = append(got, c.GetConnectionId())
				}
				if request.PageToken = list.GetNextPageToken(); request.GetPageToken() == "" {
					if size > 0 && pages != (7+int(size)-1)/int(size) {
						t.Errorf("page size %d: %d pages", size, pages)
					}
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("page size %d: got %v, want %v", size, got, want)
			}
		}
	})
}

func TestListClientConnectionsRefuses(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		for _, r := range []*holdfastv1.ListClientConnectionsRequest{
			{PageSize: 1001},
			{PageSize: 1<<32 - 1},
			{PageToken: "x"},
			{PageToken: "0000000000000000"},
		} {
			if list, err := s.admin.ListClientConnections(s.ctx, r); reasonOrCode(err) != "INVALID_FIELD" {
				t.Errorf("%v: got %v, %v", r, list, err)
			}
		}
		if _, err := s.admin.ListClientConnections(s.ctx, &holdfastv1.ListClientConnectionsRequest{PageSize: 1000}); err != nil {
			t.Errorf("the largest page: %v", err)
		}
	})
}

func TestListClientConnectionsFilters(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		s.server("app-1", echo, "a", "b")
		x := s.on("a", "x")
		y := s.on("b", "y")
		s.server("app-2", echo, "d")
		z := s.guest("x")
		names := map[string]string{x.id: "x", y.id: "y", z.id: "z"}
		for _, c := range []struct {
			request *holdfastv1.ListClientConnectionsRequest
			want    string
		}{
			{&holdfastv1.ListClientConnectionsRequest{}, "[x y z]"},
			{&holdfastv1.ListClientConnectionsRequest{Application: "echo"}, "[x y z]"},
			{&holdfastv1.ListClientConnectionsRequest{Application: "other"}, "[]"},
			{&holdfastv1.ListClientConnectionsRequest{ClientIngress: "x"}, "[x z]"},
			{&holdfastv1.ListClientConnectionsRequest{ServerIngress: "b"}, "[y]"},
			{&holdfastv1.ListClientConnectionsRequest{ServerId: "app-1"}, "[x y]"},
			{&holdfastv1.ListClientConnectionsRequest{ServerId: "app-1", ClientIngress: "x"}, "[x]"},
			{&holdfastv1.ListClientConnectionsRequest{ServerId: "app-2", ClientIngress: "y"}, "[]"},
		} {
			list, err := s.admin.ListClientConnections(s.ctx, c.request)
			got := []string{}
			for _, l := range list.GetClientConnections() {
				got = append(got, names[l.GetConnectionId()])
			}
			slices.Sort(got)
			if err != nil || fmt.Sprint(got) != c.want || int(list.GetTotal()) != len(got) {
				t.Errorf("%v: got %v of %d, %v; want %s", c.request, got, list.GetTotal(), err, c.want)
			}
		}
		if c := s.see(x); c.GetServerId() != "app-1" || c.GetMessagesReceived() != 1 || c.GetMessagesSent() != 1 ||
			c.GetClientAddress() != "127.0.0.1:1" || c.GetConnectedAt() == nil {
			t.Errorf("listed: %v", c)
		}
	})
}
