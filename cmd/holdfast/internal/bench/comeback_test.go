package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// application is an echo that relays share: what it has received of each connection, by its token.
type application struct {
	mu       sync.Mutex
	received map[string][]*holdfastv1.ClientMessage // under mu
}

func (a *application) open() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	token := fmt.Sprint(len(a.received))
	a.received[token] = nil
	return token
}

// take takes what is new of a request, and returns all that was received.
func (a *application) take(token string, r *holdfastv1.ConnectRequest) ([]*holdfastv1.ClientMessage, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	have := uint64(len(a.received[token]))
	items := contents(r)
	if len(items) > 0 && (r.GetFirstSeq() == 0 || r.GetFirstSeq() > have+1) {
		return nil, status.Errorf(codes.InvalidArgument, "message %d came after %d", r.GetFirstSeq(), have)
	}
	for i, m := range items {
		if r.GetFirstSeq()+uint64(i) > have {
			a.received[token] = append(a.received[token], m)
		}
	}
	return a.received[token], nil
}

// sharing is a relay of the application.
type sharing struct {
	holdfastv1.UnimplementedClientConnectionServiceServer
	application *application
	// mute: it receives and does not answer after the Welcome.
	mute bool
	// welcome changes the Welcome of a resume, and replay after which echo it goes on.
	welcome func(*holdfastv1.Welcome)
	replay  func(after uint64) uint64
}

func (s *sharing) Connect(stream holdfastv1.ClientConnectionService_ConnectServer) error {
	request, err := stream.Recv()
	if err != nil {
		return err
	}
	welcome, sent := &holdfastv1.Welcome{}, uint64(0)
	if resume := request.GetHello().GetResume(); resume != nil {
		received, _ := s.application.take(resume.GetToken(), request)
		welcome.ResumeToken, welcome.ReceivedSeq, welcome.Recovered = resume.GetToken(), uint64(len(received)), true
		sent = resume.GetReceivedSeq()
		if s.replay != nil {
			sent = s.replay(sent)
		}
		if s.welcome != nil {
			s.welcome(welcome)
		}
	} else {
		welcome.ResumeToken = s.application.open()
	}
	if err := stream.Send(&holdfastv1.ConnectResponse{Welcome: welcome}); err != nil {
		return err
	}
	for n := 0; ; n++ {
		if request, err = stream.Recv(); err != nil {
			return err
		}
		all, err := s.application.take(welcome.GetResumeToken(), request)
		if err != nil {
			return err
		}
		if s.mute && n > 0 { // the first echo is what the client waits for before it is one of the fleet
			continue
		}
		if all[len(all)-1].GetClose() != nil {
			return nil
		}
		if err := stream.Send(&holdfastv1.ConnectResponse{Messages: all[sent:], FirstSeq: sent + 1}); err != nil {
			return err
		}
		sent = uint64(len(all))
	}
}

// comeBackTo has a fleet's relay die and the fleet come back at the other.
func comeBackTo(t *testing.T, mute bool, other *sharing) (ResumeRound, error) {
	t.Helper()
	app := &application{received: map[string][]*holdfastv1.ClientMessage{}}
	other.application = app
	listener, server := listen(t), grpc.NewServer()
	holdfastv1.RegisterClientConnectionServiceServer(server, &sharing{application: app, mute: mute})
	serve(t, func(ctx context.Context) error {
		defer context.AfterFunc(ctx, server.Stop)()
		return server.Serve(listener)
	})
	f, err := connect(t.Context(), order{
		target:  &subject{name: "first", address: listener.Addr().String(), dial: dialResumable},
		streams: 5, streamsConnection: 2, size: 64, inflight: 1, patience: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	c := newComeback(f, start(t, other))
	round, err := c.run(func() error {
		server.Stop()
		return nil
	})
	if err != nil {
		f.close()
		return round, err
	}
	return round, c.leave()
}

func TestComeback(t *testing.T) {
	for _, mute := range []bool{false, true} {
		round, err := comeBackTo(t, mute, &sharing{})
		if err != nil {
			t.Errorf("mute %v: %v", mute, err)
		}
		if round.Asked <= 0 || round.Welcomed < round.Asked || round.Echoed < round.Welcomed || round.Resent > round.Replayed {
			t.Errorf("mute %v: %+v", mute, round)
		}
		if mute && round.Replayed != 5 {
			t.Errorf("%v echoes were replayed, want that of each client", round.Replayed)
		}
	}
}

func TestFaultsOfComebacksAreFound(t *testing.T) {
	for name, other := range map[string]*sharing{
		"not recovered":           {welcome: func(w *holdfastv1.Welcome) { w.Recovered = false }},
		"more than was sent":      {welcome: func(w *holdfastv1.Welcome) { w.ReceivedSeq = 3 }},
		"less than came back":     {welcome: func(w *holdfastv1.Welcome) { w.ReceivedSeq = 0 }},
		"an echo is not replayed": {replay: func(after uint64) uint64 { return after + 1 }},
	} {
		if _, err := comeBackTo(t, true, other); !errors.Is(err, errLost) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := comeBackTo(t, true, &sharing{replay: func(after uint64) uint64 { return after - 1 }}); !errors.Is(err, errDoubled) {
		t.Errorf("an echo is replayed that came: got %v", err)
	}
}
