package doctor

import (
	"context"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// fake is a relay and an ingress in one, with the faults that are asked for. It stands still while it serves.
type fake struct {
	holdfastv1.UnimplementedClientConnectionServiceServer
	name   string
	limit  int   // of a message, 1 KiB when 0
	refuse error // what a hello is answered with, if not by a welcome
	mute   bool  // takes messages and answers nothing
	// chatty answers each message with this many others before the echo.
	chatty int
	// silence is after what time a stream with no message is cut; 0 for never.
	silence time.Duration
	admin   bool // AdminService is there as well
	token   string

	streams, open, messages atomic.Int64
}

// serve serves the fake until the test ends and returns its address.
func (f *fake) serve(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(maxReceive))
	holdfastv1.RegisterClientConnectionServiceServer(server, f)
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	if f.admin {
		holdfastv1.RegisterAdminServiceServer(server, &fakeAdmin{})
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if n := f.open.Load(); n != 0 {
			t.Errorf("%d streams are open at the end", n)
		}
	})
	return listener.Addr().String()
}

func (f *fake) Connect(stream holdfastv1.ClientConnectionService_ConnectServer) error {
	f.streams.Add(1)
	f.open.Add(1)
	defer f.open.Add(-1)
	m, err := stream.Recv()
	if err != nil {
		return err
	}
	sent := metadata.ValueFromIncomingContext(stream.Context(), "authorization")
	if f.token != "" && !slices.Equal(sent, []string{"Bearer " + f.token}) {
		return status.Error(codes.Unauthenticated, "no token")
	}
	if f.refuse != nil {
		return f.refuse
	}
	name, limit := f.name, f.limit
	if limit == 0 {
		limit = 1 << 10
	}
	err = stream.Send(&holdfastv1.ConnectResponse{Welcome: &holdfastv1.Welcome{
		ConnectionId: "00c0ffee00c0ffee", Application: m.GetHello().GetApplication(), MaxMessageBytes: uint32(limit), Ingress: name,
	}})
	if err != nil {
		return err
	}
	return f.talk(stream)
}

func (f *fake) talk(stream holdfastv1.ClientConnectionService_ConnectServer) error {
	cut := make(chan struct{})
	var spoke atomic.Bool
	if f.silence > 0 {
		defer time.AfterFunc(f.silence, func() {
			if !spoke.Load() {
				close(cut)
			}
		}).Stop()
	}
	done := make(chan error, 1)
	go func() { done <- f.answer(stream, &spoke) }()
	select {
	case err := <-done:
		return err
	case <-cut:
		return status.Error(codes.Unavailable, "cut")
	}
}

func (f *fake) answer(stream holdfastv1.ClientConnectionService_ConnectServer, spoke *atomic.Bool) error {
	for {
		m, err := stream.Recv()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		f.messages.Add(1)
		spoke.Store(true)
		for range f.chatty {
			if err := stream.Send(&holdfastv1.ConnectResponse{Content: &holdfastv1.ConnectResponse_Text{Text: "news"}}); err != nil {
				return err
			}
		}
		if f.mute {
			continue
		}
		if err := stream.Send(&holdfastv1.ConnectResponse{Content: &holdfastv1.ConnectResponse_Binary{Binary: m.GetBinary()}}); err != nil {
			return err
		}
	}
}

// fakeAdmin is an AdminService, and a client of it.
type fakeAdmin struct {
	holdfastv1.UnimplementedAdminServiceServer
}

func (*fakeAdmin) ListIngresses(context.Context, *holdfastv1.ListIngressesRequest) (*holdfastv1.ListIngressesResponse, error) {
	return &holdfastv1.ListIngressesResponse{Ingresses: []*holdfastv1.Ingress{{Name: "a"}, {Name: "b"}}}, nil
}

func (*fakeAdmin) ListServerConnections(context.Context, *holdfastv1.ListServerConnectionsRequest) (*holdfastv1.ListServerConnectionsResponse, error) {
	return &holdfastv1.ListServerConnectionsResponse{ServerConnections: []*holdfastv1.ServerConnection{
		connection("1", "s", "a", time.Now().Add(-time.Hour)), connection("2", "s", "b", time.Now().Add(-time.Hour)),
	}}, nil
}

func (*fakeAdmin) WatchEvents(_ *holdfastv1.WatchEventsRequest, stream holdfastv1.AdminService_WatchEventsServer) error {
	err := stream.Send(&holdfastv1.WatchEventsResponse{Time: timestamppb.Now(), Kind: holdfastv1.EventKind_EVENT_KIND_WATCHING})
	if err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

// connection is a server connection of an app server with one process.
func connection(id, server, ingress string, since time.Time) *holdfastv1.ServerConnection {
	return &holdfastv1.ServerConnection{
		ServerConnectionId: id, ServerId: server, InstanceId: "i", Ingress: ingress, AttachedAt: timestamppb.New(since),
	}
}

// refusal is an error of a relay with a reason.
func refusal(t *testing.T, code codes.Code, reason string) error {
	t.Helper()
	st, err := status.New(code, "refused").WithDetails(&errdetails.ErrorInfo{Domain: "holdfast.v1", Reason: reason})
	if err != nil {
		t.Fatal(err)
	}
	return st.Err()
}
