package ingress

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBothDirectionsAtOnce(t *testing.T) {
	relay := startRelay(t, 0)
	in := startIngress(t, relay.address, time.Second)
	s := open(t, dial(t, in.address))
	for n := range 100 {
		s.exchange(t, n)
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("after the half-close: got %v, want EOF", err)
	}
}

func TestIngressIDReplacesWhatCameIn(t *testing.T) {
	relay := startRelay(t, 0)
	in := startIngress(t, relay.address, time.Second)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x-ingress-id", "forged", "x-other", "kept")
	s := openContext(t, ctx, dial(t, in.address))
	s.exchange(t, 1)
	md := <-relay.headers
	if got := md.Get("x-ingress-id"); len(got) != 1 || got[0] != "a" {
		t.Errorf("x-ingress-id: got %q, want one a", got)
	}
	if got := md.Get("x-other"); len(got) != 1 || got[0] != "kept" {
		t.Errorf("x-other: got %q", got)
	}
}

// The status and its details are in the trailers, with messages before them or not.
func TestStatusComesThrough(t *testing.T) {
	relay := startRelay(t, 0)
	in := startIngress(t, relay.address, time.Second)
	conn := dial(t, in.address)
	for n := range 200 {
		messagesBefore := n % 3
		s := open(t, conn)
		for n := range messagesBefore {
			s.exchange(t, n)
		}
		s.send(t, failCommand)
		_, err := s.Recv()
		st := status.Convert(err)
		if st.Code() != codes.FailedPrecondition || st.Message() != "as asked: 100%" || len(st.Details()) != 1 {
			t.Fatalf("after %d messages: got %v with %d details", messagesBefore, err, len(st.Details()))
		}
		if info, ok := st.Details()[0].(*errdetails.ErrorInfo); !ok || info.GetReason() != "ASKED" {
			t.Errorf("got %v", st.Details()[0])
		}
	}
}

func TestCancelReachesTheRelay(t *testing.T) {
	relay := startRelay(t, 0)
	in := startIngress(t, relay.address, time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	s := openContext(t, ctx, dial(t, in.address))
	s.exchange(t, 1)
	cancel()
	if err := <-relay.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the relay's stream ended with %v", err)
	}
}

func TestClientThatBreaksOffReachesTheRelay(t *testing.T) {
	relay := startRelay(t, 0)
	in := startIngress(t, relay.address, time.Second)
	conn := dial(t, in.address)
	open(t, conn).exchange(t, 1)
	conn.Close()
	if err := <-relay.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the relay's stream ended with %v", err)
	}
}

func TestNoUpstreamIsUnavailable(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := listener.Addr().String()
	listener.Close()
	in := startIngress(t, nobody, time.Second)
	_, err = open(t, dial(t, in.address)).Recv()
	if status.Code(err) != codes.Unavailable {
		t.Errorf("got %v, want UNAVAILABLE", err)
	}
}

func TestBrokenUpstreamIsUnavailable(t *testing.T) {
	relay := startRelay(t, 0)
	in := startIngress(t, relay.address, time.Second)
	s := open(t, dial(t, in.address))
	s.exchange(t, 1)
	relay.server.Stop()
	if _, err := s.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("got %v, want UNAVAILABLE", err)
	}
}

// Many streams of one client connection, with a relay that allows few on one of its own.
func TestManyStreams(t *testing.T) {
	const streams, allowed = 500, 100
	relay := startRelay(t, allowed)
	in := startIngress(t, relay.address, time.Second)
	conn := dial(t, in.address)
	ready := make(chan struct{}, streams)
	together := make(chan struct{})
	var clients sync.WaitGroup
	for range streams {
		clients.Go(func() {
			s := open(t, conn)
			s.exchange(t, 1)
			ready <- struct{}{}
			<-together // Every stream is open now.
			for n := range 10 {
				s.exchange(t, n)
			}
		})
	}
	for range streams {
		<-ready
	}
	up := in.generation().upstream
	up.mu.Lock()
	dialed := up.dialed
	up.mu.Unlock()
	if dialed < streams/allowed {
		t.Errorf("%d upstream connections for %d streams, %d allowed on one", dialed, streams, allowed)
	}
	close(together)
	clients.Wait()
}

func TestReload(t *testing.T) {
	const grace = time.Second
	relay := startRelay(t, 0)
	in := startIngress(t, relay.address, grace)
	conn := dial(t, in.address)
	old := open(t, conn)
	old.exchange(t, 1)

	begin := time.Now()
	in.Reload()

	ctx, cancel := context.WithTimeout(t.Context(), grace)
	defer cancel()
	if !conn.WaitForStateChange(ctx, connectivity.Ready) {
		t.Error("the client did not see a GOAWAY within the grace")
	}
	old.exchange(t, 2)
	fresh := open(t, dial(t, in.address))
	fresh.exchange(t, 1)
	again := open(t, conn) // The old ClientConn dials anew.
	again.exchange(t, 1)
	old.exchange(t, 3)

	_, err := old.Recv()
	if lived := time.Since(begin); lived < grace {
		t.Errorf("the old stream was cut after %s, the grace is %s", lived, grace)
	}
	if status.Code(err) != codes.Unavailable {
		t.Errorf("the old stream was cut with %v, want UNAVAILABLE", err)
	}
	if err := <-relay.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the relay's stream ended with %v", err)
	}
	fresh.exchange(t, 2)
	again.exchange(t, 2)
}

// A generation that nobody uses any more does not wait for the grace.
func TestReloadWithNothingOpen(t *testing.T) {
	relay := startRelay(t, 0)
	in := startIngress(t, relay.address, time.Hour)
	conn := dial(t, in.address)
	open(t, conn).exchange(t, 1)
	in.Reload()
	conn.Close()
	in.Drain()
	<-in.stopped
}

func TestDrainLetsStreamsRunOn(t *testing.T) {
	relay := startRelay(t, 0)
	in := startIngress(t, relay.address, time.Hour)
	s := open(t, dial(t, in.address))
	s.exchange(t, 1)
	in.Drain()
	if _, err := net.Dial("tcp", in.address); err == nil {
		t.Error("a new connection was taken")
	}
	s.exchange(t, 2)
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	<-in.stopped
}

func TestEndOfRunCutsEverything(t *testing.T) {
	relay := startRelay(t, 0)
	in := startIngress(t, relay.address, time.Hour)
	old := open(t, dial(t, in.address))
	old.exchange(t, 1)
	in.Reload()
	current := open(t, dial(t, in.address))
	current.exchange(t, 1)
	in.stop()
	<-in.stopped
	for _, s := range []*stream{old, current} {
		if _, err := s.Recv(); status.Code(err) != codes.Unavailable {
			t.Errorf("got %v, want UNAVAILABLE", err)
		}
	}
	in.Reload() // Nothing comes of it.
}

func TestConfigRefused(t *testing.T) {
	for _, cfg := range []Config{
		{ID: "", Upstreams: []string{"127.0.0.1:1"}},
		{ID: "a"},
		{ID: "a", Upstreams: []string{"127.0.0.1:1", "nowhere"}},
		{ID: "a", Upstreams: []string{"127.0.0.1:0"}},
		{ID: "a", Upstreams: []string{"127.0.0.1:1"}, Grace: -1},
	} {
		if _, err := New(cfg, nil); err == nil {
			t.Errorf("%+v was allowed", cfg)
		}
	}
}
