package traffic

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"

	"github.com/holdfast/holdfast/pkg/verify"
	"github.com/holdfast/holdfast/pkg/wire/wiretest"
)

// path does something to the n-th message of a direction, from 1: what it returns goes on in its place.
type path func(n int, m message) []message

func sound(_ int, m message) []message { return []message{m} }

// fakeRelay is a relay and the sample application in one, with paths that can be made faulty.
type fakeRelay struct {
	holdfastv1.UnimplementedClientConnectionServiceServer
	ingress  string
	up, down func() path
	// deaf makes the application answer no stop; batch makes the relay send in batches.
	deaf, batch bool
	connections atomic.Uint64
	// cut ends the streams that are open with the reason that it gets.
	mu   sync.Mutex
	cuts map[chan string]struct{} // under mu
}

func newRelay(ingress string) *fakeRelay {
	return &fakeRelay{
		ingress: ingress, up: func() path { return sound }, down: func() path { return sound }, cuts: map[chan string]struct{}{},
	}
}

func (r *fakeRelay) cutAll(reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.cuts {
		c <- reason
	}
}

func (r *fakeRelay) Connect(s holdfastv1.ClientConnectionService_ConnectServer) error {
	first, err := s.Recv()
	if err != nil {
		return err
	}
	if first.GetHello().GetApplication() != "echo" {
		return status.Errorf(codes.NotFound, "application %q", first.GetHello().GetApplication())
	}
	id := fmt.Sprintf("%s-%d", r.ingress, r.connections.Add(1))
	if err := s.Send(&holdfastv1.ConnectResponse{Welcome: &holdfastv1.Welcome{ConnectionId: id, Ingress: r.ingress}}); err != nil {
		return err
	}
	cut := make(chan string, 1)
	r.mu.Lock()
	r.cuts[cut] = struct{}{}
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.cuts, cut)
		r.mu.Unlock()
	}()
	ended := make(chan error, 1)
	go func() { ended <- r.application(s) }()
	select {
	case err := <-ended:
		return err
	case reason := <-cut:
		st, _ := status.New(codes.Unavailable, "cut").WithDetails(&errdetails.ErrorInfo{Reason: reason})
		return st.Err()
	}
}

// application receives, echoes and counts until the client has sent its last.
func (r *fakeRelay) application(s holdfastv1.ClientConnectionService_ConnectServer) error {
	a := &application{relay: r, stream: s, up: r.up(), down: r.down(), judge: verify.NewJudge(0)}
	received := make(chan message)
	ctx, cancel := context.WithCancel(s.Context())
	defer cancel()
	go func() {
		defer close(received)
		for {
			m, err := s.Recv()
			if err != nil {
				return
			}
			select {
			case received <- message{m.GetText(), m.GetBinary()}:
			case <-ctx.Done():
				return
			}
		}
	}()
	for n := 1; ; {
		select {
		case <-a.tick:
			a.counted++
			a.send(message{text: verify.Count(a.counted)})
		case m, open := <-received:
			if !open {
				return nil
			}
			for _, m := range a.up(n, m) {
				a.handle(m)
			}
			n++
		}
		if a.err != nil {
			return a.err
		}
	}
}

// application is the sample application for one logical connection.
type application struct {
	relay             *fakeRelay
	stream            holdfastv1.ClientConnectionService_ConnectServer
	up, down          path
	sent              int
	judge             *verify.Judge
	counted, received uint64
	tick              <-chan time.Time
	err               error
}

func (a *application) handle(m message) {
	if m.text == verify.Stop {
		a.tick = nil
		if !a.relay.deaf {
			a.send(message{text: verify.Stopped{Counted: a.counted, Received: a.received, Tally: a.judge.Prefix()}.String()})
		}
		return
	}
	a.received++
	if interval, ok := verify.ParseStartCount(m.text); ok {
		a.tick = time.Tick(interval)
		return
	}
	a.judge.Saw(m.binary)
	a.send(m)
}

func (a *application) send(m message) {
	a.sent++
	var batch []*holdfastv1.ClientMessage
	for _, m := range a.down(a.sent, m) {
		response := &holdfastv1.ConnectResponse{Content: &holdfastv1.ConnectResponse_Text{Text: m.text}}
		inBatch := &holdfastv1.ClientMessage{Content: &holdfastv1.ClientMessage_Text{Text: m.text}}
		if m.text == "" {
			response.Content = &holdfastv1.ConnectResponse_Binary{Binary: m.binary}
			inBatch.Content = &holdfastv1.ClientMessage_Binary{Binary: m.binary}
		}
		if batch = append(batch, inBatch); !a.relay.batch {
			a.err = errors.Join(a.err, a.stream.Send(response))
		}
	}
	if a.relay.batch {
		a.err = errors.Join(a.err, a.stream.Send(&holdfastv1.ConnectResponse{Messages: batch}))
	}
}

// serve serves the relays in the bubble of the test, at the addresses that it puts into the configuration.
func serve(t *testing.T, cfg *Config, relays ...*fakeRelay) {
	t.Helper()
	listeners := map[string]*wiretest.Listener{}
	network := wiretest.NewNetwork()
	for n, relay := range relays {
		listener := network.Listen(1 << 16)
		server := grpc.NewServer()
		holdfastv1.RegisterClientConnectionServiceServer(server, relay)
		served := make(chan error, 1)
		go func() { served <- server.Serve(listener) }()
		t.Cleanup(func() {
			server.Stop()
			if err := <-served; err != nil {
				t.Error(err)
			}
		})
		address := fmt.Sprintf("127.0.0.1:%d", n+1)
		listeners[address] = listener
		cfg.Addresses = append(cfg.Addresses, address)
	}
	cfg.DialOptions = []grpc.DialOption{grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
		return listeners[address].DialContext(ctx)
	})}
}
