package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/appserver"
	"github.com/holdfast/holdfast/pkg/observe"
	"github.com/holdfast/holdfast/services/relay/internal/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stage is a relay with an operator, in a synctest bubble. All that it starts ends with the test; nothing waits for
// longer than ten virtual minutes.
type stage struct {
	*harness
	t     *testing.T
	ctx   context.Context
	admin holdfastv1.AdminServiceClient
}

func onStage(t *testing.T, change func(*config.Config), run func(t *testing.T, s *stage)) {
	t.Helper()
	onStageWith(t, change, nil, run)
}

// onStageWith is onStage with a change of what the relay reports to.
func onStageWith(t *testing.T, change func(*config.Config), report func(*observe.Telemetry), run func(t *testing.T, s *stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		application, operators, sockets := threeInMemory()
		s := &stage{harness: startHarnessWith(t, application, operators, sockets, change, report), t: t}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		t.Cleanup(s.stop)
		t.Cleanup(cancel)
		s.ctx = ctx
		admin, cc := s.harness.admin()
		t.Cleanup(func() { _ = cc.Close() })
		s.admin = admin
		run(t, s)
	})
}

// server runs an app server with a server connection through each ingress, under a tap, and waits until it is attached.
func (s *stage) server(id string, handler appserver.Handler, ingresses ...string) (t *tap, stop func()) {
	s.t.Helper()
	t = newTap(s.t)
	_, stop = s.appServer(id, handler, ingresses, t.option())
	s.t.Cleanup(stop)
	synctest.Wait()
	return t, stop
}

// serverWithClosedDoor is server, but nothing comes through the last ingress until the returned function is called.
func (s *stage) serverWithClosedDoor(id string, handler appserver.Handler, ingresses ...string) (open func()) {
	s.t.Helper()
	var opened atomic.Bool
	door := grpc.WithChainStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn,
		method string, streamer grpc.Streamer, opts ...grpc.CallOption,
	) (grpc.ClientStream, error) {
		md, _ := metadata.FromOutgoingContext(ctx)
		if !opened.Load() && slices.Contains(md.Get("x-ingress-id"), ingresses[len(ingresses)-1]) {
			return nil, status.Error(codes.Unavailable, "the door is closed")
		}
		return streamer(ctx, desc, cc, method, opts...)
	})
	_, stop := s.appServer(id, handler, ingresses, door)
	s.t.Cleanup(stop)
	synctest.Wait()
	return func() { opened.Store(true) }
}

// guest is a client with the id of its connection.
type guest struct {
	*client
	id   string
	stop func() // ends its stream, as a client that goes away does
}

// guest connects a client and waits until it was echoed to.
func (s *stage) guest(ingress string) *guest {
	s.t.Helper()
	g := s.quietGuest(ingress)
	if err := g.exchange(1, 0); err != nil {
		s.t.Fatal(err)
	}
	return g
}

// quietGuest connects a client that was welcomed and has sent nothing.
func (s *stage) quietGuest(ingress string) *guest {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.ctx)
	c, closeClient := s.client(ctx, ingress)
	s.t.Cleanup(closeClient)
	s.t.Cleanup(cancel)
	if err := c.stream.Send(&holdfastv1.ConnectRequest{Hello: &holdfastv1.Hello{}}); err != nil {
		s.t.Fatal(err)
	}
	m, err := c.stream.Recv()
	if err != nil {
		s.t.Fatal(err)
	}
	synctest.Wait() // its handler runs before that of any later one
	return &guest{client: c, id: m.GetWelcome().GetConnectionId(), stop: cancel}
}

// on connects a client through the ingress, with its connection on the server connection through that other ingress.
func (s *stage) on(serverIngress, ingress string) *guest {
	s.t.Helper()
	g := s.guest(ingress)
	if s.where(g) != serverIngress {
		s.move(g, s.path(serverIngress))
	}
	return g
}

func (s *stage) move(g *guest, target string) *holdfastv1.MoveConnectionResponse {
	s.t.Helper()
	r, err := s.admin.MoveConnection(s.ctx, &holdfastv1.MoveConnectionRequest{ConnectionId: g.id, TargetServerConnectionId: target})
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// path returns the id of the newest server connection through the ingress.
func (s *stage) path(ingress string) string {
	s.t.Helper()
	all := s.paths(ingress)
	if len(all) == 0 {
		s.t.Fatalf("no server connection through %s", ingress)
	}
	return all[len(all)-1].GetServerConnectionId()
}

func (s *stage) paths(ingress string) []*holdfastv1.ServerConnection {
	s.t.Helper()
	list, err := s.admin.ListServerConnections(s.ctx, &holdfastv1.ListServerConnectionsRequest{Ingress: ingress})
	if err != nil {
		s.t.Fatal(err)
	}
	return list.GetServerConnections()
}

// last returns which of the ingresses the newest server connection came in through.
func (s *stage) last(ingresses ...string) string {
	s.t.Helper()
	for _, c := range slices.Backward(s.paths("")) { // in the order of their attachment
		if slices.Contains(ingresses, c.GetIngress()) {
			return c.GetIngress()
		}
	}
	s.t.Fatalf("no server connection through any of %v", ingresses)
	return ""
}

// see returns the guest's connection as it is listed; nil when it is not.
func (s *stage) see(g *guest) *holdfastv1.ClientConnection {
	s.t.Helper()
	list, err := s.admin.ListClientConnections(s.ctx, &holdfastv1.ListClientConnectionsRequest{PageSize: 1000})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, c := range list.GetClientConnections() {
		if c.GetConnectionId() == g.id {
			return c
		}
	}
	return nil
}

// where returns the ingress of the server connection that carries the guest.
func (s *stage) where(g *guest) string { return s.see(g).GetServerIngress() }

// ingress returns the ingress as it is listed.
func (s *stage) ingress(name string) *holdfastv1.Ingress {
	s.t.Helper()
	list, err := s.admin.ListIngresses(s.ctx, &holdfastv1.ListIngressesRequest{})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, i := range list.GetIngresses() {
		if i.GetName() == name {
			return i
		}
	}
	return nil
}

// reloading is a reload under way.
type reloading struct {
	cancel func()
	done   chan struct{}
	// Valid when done is closed.
	progress []*holdfastv1.ReloadIngressResponse
	err      error
}

// startReload begins a reload in the background; the progress is gathered until the relay ends it.
func (s *stage) startReload(ingress string, wait time.Duration) *reloading {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.ctx)
	s.t.Cleanup(cancel)
	st, err := s.admin.ReloadIngress(ctx, &holdfastv1.ReloadIngressRequest{Ingress: ingress, Wait: durationpb.New(wait)})
	if err != nil {
		s.t.Fatal(err)
	}
	r := &reloading{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		for {
			p, err := st.Recv()
			if err != nil {
				if !errors.Is(err, io.EOF) {
					r.err = err
				}
				return
			}
			r.progress = append(r.progress, p)
		}
	}()
	synctest.Wait()
	return r
}

// last waits for the end of the reload and returns the last progress.
func (r *reloading) last(t *testing.T) *holdfastv1.ReloadIngressResponse {
	t.Helper()
	<-r.done
	if r.err != nil || len(r.progress) == 0 {
		t.Fatalf("the reload ended with %v after %v", r.err, r.progress)
	}
	return r.progress[len(r.progress)-1]
}

// reload reloads and returns the last progress.
func (s *stage) reload(ingress string, wait time.Duration) *holdfastv1.ReloadIngressResponse {
	s.t.Helper()
	return s.startReload(ingress, wait).last(s.t)
}

func (s *stage) complete(ingress string) {
	s.t.Helper()
	if _, err := s.admin.CompleteReload(s.ctx, &holdfastv1.CompleteReloadRequest{Ingress: ingress}); err != nil {
		s.t.Fatal(err)
	}
}

// left says in one line what is left and why.
func left(p *holdfastv1.ReloadIngressResponse) string {
	s := ""
	for _, l := range p.GetLeft() {
		s += fmt.Sprintf("%d %v ", l.GetConnections(), l.GetReason())
	}
	return s
}
