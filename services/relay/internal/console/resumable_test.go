package console_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// resumable connects a resumable client through the ingress, or has it come anew with the token. It returns the Welcome and what
// breaks the stream.
func (s *stage) resumable(ingress, token string) (welcome *holdfastv1.Welcome, leave func()) {
	s.t.Helper()
	ctx, leave := context.WithCancel(context.Background())
	s.t.Cleanup(leave)
	hello := &holdfastv1.Hello{Resumable: true}
	if token != "" {
		hello.Resume = &holdfastv1.ResumeRequest{Token: token}
	}
	stream, err := holdfastv1.NewClientConnectionServiceClient(s.dial(ingress)).Connect(ctx)
	if err == nil {
		err = stream.Send(&holdfastv1.ConnectRequest{Hello: hello})
	}
	var first *holdfastv1.ConnectResponse
	if err == nil {
		first, err = stream.Recv()
	}
	if err == nil {
		err = stream.Send(&holdfastv1.ConnectRequest{Welcomed: true})
	}
	if err != nil {
		s.t.Fatalf("a resumable client: %v", err)
	}
	synctest.Wait()
	return first.GetWelcome(), leave
}

func TestResumableClientsAreShown(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		s.server("app-1", "b", "c")
		plain, _ := s.client("a")
		gone, leave := s.resumable("a", "")
		moves, _ := s.resumable("a", "")
		r := s.stream()
		r.update()
		leave()
		for id, want := range map[string][2]bool{plain: {false, false}, gone.GetConnectionId(): {true, true}, moves.GetConnectionId(): {true, false}} {
			synctest.Wait()
			if c := s.find(id); c["resumable"] != want[0] || c["away"] != want[1] {
				t.Errorf("resumable and away are %v and %v, want %v", c["resumable"], c["away"], want)
			}
		}
		if in := s.state().Ingresses[0]; in.Clients != 3 || in.Away != 1 {
			t.Errorf("the ingress: %+v", in)
		}
		s.post("/api/reload", map[string]string{"ingress": "a"}).into(t, &progress{})
		synctest.Wait()
		if p := s.state().Reloads[0]; p.ClientsAsked != 1 || p.ClientsMoved != 0 || p.Done {
			t.Errorf("with one that was asked: %+v", p)
		}
		s.resumable("b", moves.GetResumeToken())
		s.resumable("b", gone.GetResumeToken())
		time.Sleep(time.Second)
		if p := s.state().Reloads[0]; p.ClientsAsked != 1 || p.ClientsMoved != 1 || !p.Done || !p.Safe {
			t.Errorf("with one that has moved: %+v", p)
		}
		var resumed, away, letGo, news int
		for resumed < 2 || letGo < 2 {
			u := r.update()
			resumed, away, letGo = resumed+u.Since.ClientsResumed, away+u.Since.ClientsAway, letGo+u.Since.LetGo
			news += len(u.Since.News)
		}
		if resumed != 2 || away != 1 || letGo != 2 || news != 2 { // the news are the begin and the end of the reload
			t.Errorf("%d resumed, %d away, %d let go, %d news", resumed, away, letGo, news)
		}
	})
}
