package relay

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// say writes an event in a line.
func say(e *holdfastv1.WatchEventsResponse) string {
	words := []string{strings.TrimPrefix(e.GetKind().String(), "EVENT_KIND_")}
	for _, w := range []string{e.GetIngress(), e.GetConnectionId()} {
		if w != "" {
			words = append(words, w)
		}
	}
	return strings.Join(words, " ")
}

func lines(events []*holdfastv1.WatchEventsResponse) string {
	var all []string
	for _, e := range events {
		all = append(all, say(e))
	}
	return strings.Join(all, "; ")
}

func TestWatchEvents(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		all := s.watch(&holdfastv1.WatchEventsRequest{})
		few := s.watch(&holdfastv1.WatchEventsRequest{NoConnections: true})
		_, stop := s.server("app-1", echo, "a")
		g := s.guest("c")
		s.server("app-2", echo, "b")
		s.server("app-1", echo, "b") // another process of that name, with nobody on it
		s.reload("a", time.Second)
		s.complete("a")
		g.stop()
		time.Sleep(time.Second)
		stop()
		events := all.take()
		want := fmt.Sprintf("WATCHING; SERVER_CONNECTION_ATTACHED a; CONNECTION_OPENED a %[1]s; SERVER_CONNECTION_ATTACHED b; "+
			"SERVER_CONNECTION_ATTACHED b; RELOAD_STARTED a; RELOAD_READY a; INGRESS_IN_SERVICE a; CONNECTION_CLOSED a %[1]s; "+
			"SERVER_CONNECTION_DRAINING a; SERVER_CONNECTION_ENDED a", g.id)
		if got := lines(events); got != want {
			t.Errorf("events:\n got %s\nwant %s", got, want)
		}
		for i, e := range events {
			if e.GetTime() == nil || (i > 0 && e.GetTime().AsTime().Before(events[i-1].GetTime().AsTime())) {
				t.Errorf("event %d has time %v", i, e.GetTime())
			}
			if e.GetKind() == holdfastv1.EventKind_EVENT_KIND_CONNECTION_CLOSED && e.GetCloseReason() != holdfastv1.CloseReason_CLOSE_REASON_CLIENT_GONE {
				t.Errorf("the close says %v", e.GetCloseReason())
			}
		}
		events = slices.DeleteFunc(events, func(e *holdfastv1.WatchEventsResponse) bool { return e.GetConnectionId() != "" })
		if got, want := lines(few.take()), lines(events); got != want {
			t.Errorf("without connections:\n got %s\nwant %s", got, want)
		}
	})
}

func TestWatchEventsOfAMove(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		s.server("app-1", echo, "a", "b")
		g := s.on("a", "c")
		w := s.watch(&holdfastv1.WatchEventsRequest{})
		s.reload("a", time.Second)
		events := w.take()
		if got, want := lines(events), "WATCHING; RELOAD_STARTED a; CONNECTION_MOVED b "+g.id+"; RELOAD_READY a"; got != want {
			t.Fatalf("events:\n got %s\nwant %s", got, want)
		}
		if e := events[2]; e.GetServerConnectionId() != s.path("b") || e.GetPreviousServerConnectionId() != s.path("a") || e.GetPause() == nil {
			t.Errorf("the move: %v", e)
		}
	})
}

// Streams of operators have no end of their own, and must not hold up a relay that shuts down.
func TestOperatorsAreToldOfTheShutdown(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		tap, _ := s.server("app-1", echo, "a", "b")
		s.on("a", "c")
		time.Sleep(time.Second)
		release := tap.hold("a", "out")
		w := s.watch(&holdfastv1.WatchEventsRequest{})
		r := s.startReload("a", time.Hour)
		release2 := s.shutdown()
		<-w.done
		<-r.done
		for _, err := range []error{w.err, r.err} {
			if reasonOrCode(err) != "RELAY_SHUTDOWN" || status.Code(err) != codes.Unavailable {
				t.Errorf("an operator's stream ended with %v", err)
			}
		}
		release()
		release2()
	})
}

// shutdown begins to shut down the relay; the returned function waits for its end.
func (s *stage) shutdown() (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.stop()
	}()
	return func() { <-done }
}

func TestListIngresses(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		s.server("app-1", echo, "b", "a")
		s.on("a", "c")
		s.on("a", "b")
		s.on("b", "c")
		s.reload("b", time.Second)
		list, err := s.admin.ListIngresses(s.ctx, &holdfastv1.ListIngressesRequest{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, i := range list.GetIngresses() {
			got = append(got, fmt.Sprintf("%s:%d/%d/%d %v", i.GetName(), i.GetServerConnections(), i.GetClientConnections(),
				i.GetLogicalConnections(), i.GetDraining()))
		}
		// Server connections, clients through it, logical connections over it.
		want := []string{"a:1/0/3 false", "b:1/1/0 true", "c:0/2/0 false"}
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestListServerConnections(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		s.server("app-1", echo, "a")
		s.server("app-2", echo, "b")
		s.guest("c")
		s.reload("b", time.Second)
		for _, c := range []struct {
			request *holdfastv1.ListServerConnectionsRequest
			want    string
		}{
			{&holdfastv1.ListServerConnectionsRequest{}, "app-1/1 a false, app-2/2 b true"},
			{&holdfastv1.ListServerConnectionsRequest{Ingress: "b"}, "app-2/2 b true"},
			{&holdfastv1.ListServerConnectionsRequest{Application: "echo", Ingress: "a"}, "app-1/1 a false"},
			{&holdfastv1.ListServerConnectionsRequest{Application: "other"}, ""},
			{&holdfastv1.ListServerConnectionsRequest{Ingress: "c"}, ""},
		} {
			list, err := s.admin.ListServerConnections(s.ctx, c.request)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, l := range list.GetServerConnections() {
				got = append(got, fmt.Sprintf("%s %s %v", l.GetServerConnectionId(), l.GetIngress(), l.GetDraining()))
				if l.GetInstanceId() == "" || l.GetAddress() != "127.0.0.1:1" || l.GetAttachedAt() == nil || l.GetApplication() != "echo" {
					t.Errorf("listed: %v", l)
				}
			}
			if strings.Join(got, ", ") != c.want {
				t.Errorf("%v: got %v, want %s", c.request, got, c.want)
			}
		}
	})
}
