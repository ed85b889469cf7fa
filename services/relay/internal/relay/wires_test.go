package relay

import (
	"context"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/appserver"
	"github.com/holdfast/holdfast/pkg/wire"
)

// wires are the server connections of an app server, by ingress, for a test to cut, or to say on them that they drain.
type wires struct {
	mu       sync.Mutex
	cancels  map[string]context.CancelFunc
	draining map[string]bool
	shut     map[string]bool
}

func newWires() *wires {
	return &wires{cancels: make(map[string]context.CancelFunc), draining: make(map[string]bool), shut: make(map[string]bool)}
}

// sever cuts the newest server connection through the ingress.
func (w *wires) sever(ingress string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cancels[ingress]()
}

// cut is sever, and waits until both sides know.
func (w *wires) cut(ingress string) {
	w.sever(ingress)
	synctest.Wait()
}

// shutDown cuts the ingress and lets nothing through it any more.
func (w *wires) shutDown(ingress string) {
	w.mu.Lock()
	w.shut[ingress] = true
	w.mu.Unlock()
	w.cut(ingress)
}

// open undoes shutDown.
func (w *wires) open(ingress string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.shut, ingress)
}

func (w *wires) isShut(ingress string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.shut[ingress]
}

// drain has a DrainingMessage ride on what the app server sends next through the ingress: its library knows nothing of
// it, as that of another language may.
func (w *wires) drain(ingress string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.draining[ingress] = true
}

func (w *wires) takeDraining(ingress string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	was := w.draining[ingress]
	delete(w.draining, ingress)
	return was
}

func (w *wires) option() grpc.DialOption {
	return grpc.WithChainStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn,
		method string, streamer grpc.Streamer, opts ...grpc.CallOption,
	) (grpc.ClientStream, error) {
		md, _ := metadata.FromOutgoingContext(ctx)
		ingress := md.Get("x-ingress-id")[0]
		if w.isShut(ingress) {
			return nil, status.Error(codes.Unavailable, "the ingress is down")
		}
		ctx, cancel := context.WithCancel(ctx)
		st, err := streamer(ctx, desc, cc, method, opts...)
		if err != nil {
			cancel()
			return nil, err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.cancels[ingress] = cancel
		return &wiredStream{st, w, ingress}, nil
	})
}

type wiredStream struct {
	grpc.ClientStream
	wires   *wires
	ingress string
}

func (w *wiredStream) SendMsg(m any) error {
	if batch, ok := m.(*wire.Batch); ok && w.wires.takeDraining(w.ingress) {
		batch.Draining = &holdfastv1.DrainingMessage{Detail: "injected"}
	}
	return w.ClientStream.SendMsg(m)
}

// wiredServer is server with its wires in hand instead of a tap.
func (s *stage) wiredServer(id string, handler appserver.Handler, ingresses ...string) *wires {
	s.t.Helper()
	w := newWires()
	_, stop := s.appServer(id, handler, ingresses, w.option())
	s.t.Cleanup(stop)
	synctest.Wait()
	return w
}

// heldServer is server with its wires in hand beside the tap.
func (s *stage) heldServer(id string, handler appserver.Handler, ingresses ...string) (*tap, *wires) {
	s.t.Helper()
	t, w := newTap(s.t), newWires()
	_, stop := s.appServer(id, handler, ingresses, t.option(), w.option())
	s.t.Cleanup(stop)
	synctest.Wait()
	return t, w
}

// watcher gathers events.
type watcher struct {
	mu     sync.Mutex
	events []*holdfastv1.WatchEventsResponse
	err    error
	done   chan struct{}
}

// watch begins to watch; the first event has come when it returns.
func (s *stage) watch(request *holdfastv1.WatchEventsRequest) *watcher {
	s.t.Helper()
	st, err := s.admin.WatchEvents(s.ctx, request)
	if err != nil {
		s.t.Fatal(err)
	}
	w := &watcher{done: make(chan struct{})}
	go func() {
		defer close(w.done)
		for {
			e, err := st.Recv()
			w.mu.Lock()
			if err != nil {
				w.err = err
				w.mu.Unlock()
				return
			}
			w.events = append(w.events, e)
			w.mu.Unlock()
		}
	}()
	synctest.Wait()
	return w
}

// take returns the events since the last call.
func (w *watcher) take() []*holdfastv1.WatchEventsResponse {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	events := slices.Clone(w.events)
	w.events = nil
	return events
}

// traffic has the guests exchange messages until the returned function is called, which gives the first error.
func (s *stage) traffic(guests ...*guest) (stop func() error) {
	stopped := make(chan struct{})
	errs := make(chan error, len(guests))
	var wg sync.WaitGroup
	for _, g := range guests {
		wg.Go(func() {
			for {
				select {
				case <-stopped:
					return
				default:
				}
				if err := g.exchange(5, 10*time.Millisecond); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	return func() error {
		close(stopped)
		wg.Wait()
		select {
		case err := <-errs:
			return err
		default:
			return nil
		}
	}
}
