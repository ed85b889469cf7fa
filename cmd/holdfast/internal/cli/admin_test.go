package cli

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// fakeAdmin is an AdminService that knows the ingresses a and b and 250 logical connections.
type fakeAdmin struct {
	holdfastv1.UnimplementedAdminServiceServer
	asked chan any // what the calls asked for; drained by the tests that want it
}

const (
	knownConnection = "00c0ffee00c0ffee"
	allConnections  = 250
)

var somewhen = timestamppb.New(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC))

// startAdmin serves a fakeAdmin and a health service until the test ends, and returns its address.
func startAdmin(t *testing.T) (address string, f *fakeAdmin) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f = &fakeAdmin{asked: make(chan any, 16)}
	server := grpc.NewServer()
	holdfastv1.RegisterAdminServiceServer(server, f)
	h := health.NewServer()
	h.SetServingStatus("down", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	grpc_health_v1.RegisterHealthServer(server, h)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String(), f
}

func (f *fakeAdmin) ask(request any) {
	select {
	case f.asked <- request:
	default:
	}
}

func refusal(code codes.Code, reason, format string, values ...any) error {
	st, err := status.New(code, fmt.Sprintf(format, values...)).WithDetails(&errdetails.ErrorInfo{Domain: "holdfast.v1", Reason: reason})
	if err != nil {
		return err
	}
	return st.Err()
}

func known(ingress string) error {
	if ingress != "a" && ingress != "b" {
		return refusal(codes.NotFound, "UNKNOWN_INGRESS", "ingress %q is not known", ingress)
	}
	return nil
}

func (f *fakeAdmin) ReloadIngress(r *holdfastv1.ReloadIngressRequest, s grpc.ServerStreamingServer[holdfastv1.ReloadIngressResponse]) error {
	f.ask(r)
	if err := known(r.GetIngress()); err != nil {
		return err
	}
	through := &holdfastv1.LeftCount{Reason: holdfastv1.LeftReason_LEFT_REASON_CLIENT_THROUGH_INGRESS, Connections: 49}
	opening := &holdfastv1.LeftCount{Reason: holdfastv1.LeftReason_LEFT_REASON_OPENING, Connections: 2}
	for _, p := range []*holdfastv1.ReloadIngressResponse{
		{Planned: 51, Left: []*holdfastv1.LeftCount{opening, through}},
		{Planned: 51, Left: []*holdfastv1.LeftCount{opening, through}, Elapsed: durationpb.New(time.Millisecond)},
		{Planned: 51, Moved: 50, Closed: 1, Left: []*holdfastv1.LeftCount{opening, through}, ClientsAsked: 20},
		{
			Planned: 51, Moved: 50, Closed: 1, Left: []*holdfastv1.LeftCount{through}, Done: true, SafeToReload: true,
			ClientsAsked: 20, ClientsMoved: 18,
		},
	} {
		p.Ingress, p.ReturnsAt = r.GetIngress(), somewhen
		if p.GetDone() && r.GetIngress() == "b" {
			p.SafeToReload, p.Left = false, append(p.Left, opening)
		}
		if err := s.Send(p); err != nil {
			return err
		}
	}
	return nil
}

func (f *fakeAdmin) CompleteReload(_ context.Context, r *holdfastv1.CompleteReloadRequest) (*holdfastv1.CompleteReloadResponse, error) {
	return &holdfastv1.CompleteReloadResponse{}, known(r.GetIngress())
}

func (f *fakeAdmin) CancelReload(_ context.Context, r *holdfastv1.CancelReloadRequest) (*holdfastv1.CancelReloadResponse, error) {
	return &holdfastv1.CancelReloadResponse{}, known(r.GetIngress())
}

func (f *fakeAdmin) ListIngresses(context.Context, *holdfastv1.ListIngressesRequest) (*holdfastv1.ListIngressesResponse, error) {
	return &holdfastv1.ListIngressesResponse{Ingresses: []*holdfastv1.Ingress{
		{Name: "a", Draining: true, ReturnsAt: somewhen, ServerConnections: 2, ClientConnections: 100, LogicalConnections: 49},
		{Name: "b", ServerConnections: 2, ClientConnections: 100, ClientsAway: 3, LogicalConnections: 151},
	}}, nil
}

func (f *fakeAdmin) ListServerConnections(_ context.Context, r *holdfastv1.ListServerConnectionsRequest) (*holdfastv1.ListServerConnectionsResponse, error) {
	f.ask(r)
	return &holdfastv1.ListServerConnectionsResponse{ServerConnections: []*holdfastv1.ServerConnection{{
		ServerConnectionId: "sample-1/1", Application: "echo", ServerId: "sample-1", InstanceId: "i1", Ingress: "a",
		Address: "127.0.0.1:5", Draining: true, LogicalConnections: 7, AttachedAt: somewhen,
	}}}, nil
}

func (f *fakeAdmin) ListClientConnections(_ context.Context, r *holdfastv1.ListClientConnectionsRequest) (*holdfastv1.ListClientConnectionsResponse, error) {
	f.ask(r)
	first := 0
	if token := r.GetPageToken(); token != "" {
		if _, err := fmt.Sscan(token, &first); err != nil {
			return nil, err
		}
	}
	next := min(first+min(int(r.GetPageSize()), 100), allConnections) // The relay may give less than was asked for.
	response := &holdfastv1.ListClientConnectionsResponse{Total: allConnections}
	for n := first; n < next; n++ {
		response.ClientConnections = append(response.ClientConnections, &holdfastv1.ClientConnection{
			ConnectionId: fmt.Sprintf("%016x", n), Application: "echo", ClientIngress: "b", ServerIngress: "a", Epoch: "1.2",
			State: holdfastv1.ConnectionState_CONNECTION_STATE_MIGRATING, MessagesReceived: 3, MessagesSent: 4,
			Resumable: n > 0, Away: n == 2,
		})
	}
	if next < allConnections {
		response.NextPageToken = fmt.Sprint(next)
	}
	return response, nil
}

func (f *fakeAdmin) WatchEvents(r *holdfastv1.WatchEventsRequest, s grpc.ServerStreamingServer[holdfastv1.WatchEventsResponse]) error {
	f.ask(r)
	for _, e := range []*holdfastv1.WatchEventsResponse{
		{Kind: holdfastv1.EventKind_EVENT_KIND_WATCHING},
		{
			Kind: holdfastv1.EventKind_EVENT_KIND_CONNECTION_MOVED, ConnectionId: knownConnection, ServerId: "sample-1",
			PreviousServerConnectionId: "sample-1/1", ServerConnectionId: "sample-1/2", Pause: durationpb.New(1500 * time.Microsecond),
		},
		{
			Kind: holdfastv1.EventKind_EVENT_KIND_CONNECTION_CLOSED, ConnectionId: knownConnection,
			CloseReason: holdfastv1.CloseReason_CLOSE_REASON_SERVER_LOST, Detail: "gone",
		},
		{Kind: holdfastv1.EventKind_EVENT_KIND_CLIENT_AWAY, ConnectionId: knownConnection, ServerConnectionId: "sample-1/2"},
		{
			Kind: holdfastv1.EventKind_EVENT_KIND_CLIENT_RESUMED, ConnectionId: knownConnection, ServerConnectionId: "sample-1/2",
			Detail: "client came in through b",
		},
		{
			Kind: holdfastv1.EventKind_EVENT_KIND_CONNECTION_LET_GO, ConnectionId: knownConnection,
			CloseReason: holdfastv1.CloseReason_CLOSE_REASON_RESUMED_ELSEWHERE,
		},
		{Kind: holdfastv1.EventKind_EVENT_KIND_MISSED, Missed: 5},
	} {
		e.Time = somewhen
		if err := s.Send(e); err != nil {
			return err
		}
	}
	return nil
}

func (f *fakeAdmin) MoveConnection(_ context.Context, r *holdfastv1.MoveConnectionRequest) (*holdfastv1.MoveConnectionResponse, error) {
	f.ask(r)
	if r.GetConnectionId() != knownConnection {
		return nil, refusal(codes.NotFound, "UNKNOWN_CONNECTION", "no connection %s is known", r.GetConnectionId())
	}
	return &holdfastv1.MoveConnectionResponse{ServerConnectionId: "sample-1/2", Pause: durationpb.New(time.Millisecond)}, nil
}

func (f *fakeAdmin) CloseConnection(_ context.Context, r *holdfastv1.CloseConnectionRequest) (*holdfastv1.CloseConnectionResponse, error) {
	if r.GetConnectionId() != knownConnection {
		return nil, refusal(codes.NotFound, "UNKNOWN_CONNECTION", "no connection %s is known", r.GetConnectionId())
	}
	return &holdfastv1.CloseConnectionResponse{}, nil
}

func (f *fakeAdmin) SetLogLevel(_ context.Context, r *holdfastv1.SetLogLevelRequest) (*holdfastv1.SetLogLevelResponse, error) {
	f.ask(r)
	return &holdfastv1.SetLogLevelResponse{Level: r.GetLevel(), PreviousLevel: "info"}, nil
}
