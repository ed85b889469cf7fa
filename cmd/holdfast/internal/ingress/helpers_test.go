package ingress

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// failCommand makes the fake relay end the stream with a status that has details.
const failCommand = "fail"

// fakeRelay echoes every message of a client connection.
type fakeRelay struct {
	// streams counts those that were begun.
	streams atomic.Int64
	holdfastv1.UnimplementedClientConnectionServiceServer
	server  *grpc.Server
	address string
	headers chan metadata.MD
	ended   chan error
}

func startRelay(t *testing.T, maxStreams uint32) *fakeRelay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var options []grpc.ServerOption
	if maxStreams > 0 {
		options = append(options, grpc.MaxConcurrentStreams(maxStreams))
	}
	r := &fakeRelay{
		server: grpc.NewServer(options...), address: listener.Addr().String(),
		headers: make(chan metadata.MD, 1), ended: make(chan error, 1),
	}
	holdfastv1.RegisterClientConnectionServiceServer(r.server, r)
	served := make(chan error, 1)
	go func() { served <- r.server.Serve(listener) }()
	t.Cleanup(func() {
		r.server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *fakeRelay) Connect(s holdfastv1.ClientConnectionService_ConnectServer) error {
	r.streams.Add(1)
	md, _ := metadata.FromIncomingContext(s.Context())
	select {
	case r.headers <- md:
	default:
	}
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			select {
			case r.ended <- s.Context().Err():
			default:
			}
			return err
		}
		if m.GetText() == failCommand {
			st, _ := status.New(codes.FailedPrecondition, "as asked: 100%").WithDetails(&errdetails.ErrorInfo{Reason: "ASKED"})
			return st.Err()
		}
		response := &holdfastv1.ConnectResponse{Content: &holdfastv1.ConnectResponse_Text{Text: m.GetText()}}
		if err := s.Send(response); err != nil {
			return err
		}
	}
}

// runningIngress is an ingress that ends with its test.
type runningIngress struct {
	*Ingress
	address string
	stop    context.CancelFunc
	stopped chan struct{}
}

func startIngress(t *testing.T, upstream string, grace time.Duration) *runningIngress {
	t.Helper()
	return startBalanced(t, grace, upstream)
}

func startBalanced(t *testing.T, grace time.Duration, upstreams ...string) *runningIngress {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	in, err := New(Config{ID: "a", Upstreams: upstreams, Grace: grace, Logger: slog.New(slog.DiscardHandler)}, listener)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &runningIngress{Ingress: in, address: listener.Addr().String(), stop: stop, stopped: make(chan struct{})}
	go func() {
		defer close(r.stopped)
		if err := in.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		stop()
		<-r.stopped
	})
	return r
}

func dial(t *testing.T, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// stream is the client's end of one stream.
type stream struct {
	holdfastv1.ClientConnectionService_ConnectClient
}

func open(t *testing.T, conn *grpc.ClientConn) *stream {
	t.Helper()
	return openContext(t, t.Context(), conn)
}

func openContext(t *testing.T, ctx context.Context, conn *grpc.ClientConn) *stream {
	t.Helper()
	s, err := holdfastv1.NewClientConnectionServiceClient(conn).Connect(ctx)
	if err != nil {
		t.Error(err)
		return nil
	}
	return &stream{s}
}

func (s *stream) send(t *testing.T, text string) {
	t.Helper()
	if err := s.Send(&holdfastv1.ConnectRequest{Content: &holdfastv1.ConnectRequest_Text{Text: text}}); err != nil {
		t.Error(err)
	}
}

// exchange sends a message and receives its echo while the stream stays open.
func (s *stream) exchange(t *testing.T, n int) {
	t.Helper()
	text := strconv.Itoa(n)
	s.send(t, text)
	m, err := s.Recv()
	if err != nil || m.GetText() != text {
		t.Errorf("sent %s, got %q, %v", text, m.GetText(), err)
	}
}
