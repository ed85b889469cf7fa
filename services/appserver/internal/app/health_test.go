package app

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/holdfast/holdfast/pkg/wire/wiretest"
)

const (
	serving    = grpc_health_v1.HealthCheckResponse_SERVING
	notServing = grpc_health_v1.HealthCheckResponse_NOT_SERVING
)

func TestHealth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var attached atomic.Int64
		stopping, stop := context.WithCancel(t.Context())
		defer stop()
		client := dialHealth(t, stopping, &attached)

		check := func(want grpc_health_v1.HealthCheckResponse_ServingStatus) {
			t.Helper()
			resp, err := client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
			if err != nil || resp.GetStatus() != want {
				t.Errorf("check: got %v, %v; want %v", resp.GetStatus(), err, want)
			}
		}
		watch, err := client.Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{})
		if err != nil {
			t.Fatal(err)
		}
		next := func(want grpc_health_v1.HealthCheckResponse_ServingStatus) {
			t.Helper()
			resp, err := watch.Recv()
			if err != nil || resp.GetStatus() != want {
				t.Errorf("watch: got %v, %v; want %v", resp.GetStatus(), err, want)
			}
		}

		check(notServing)
		next(notServing)
		attached.Store(2)
		check(serving)
		next(serving)
		if list, err := client.List(t.Context(), &grpc_health_v1.HealthListRequest{}); err != nil || list.GetStatuses()[""].GetStatus() != serving {
			t.Errorf("list: got %v, %v", list, err)
		}
		if _, err := client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: "x"}); status.Code(err) != codes.NotFound {
			t.Errorf("another name: got %v", err)
		}
		stop()
		check(notServing)
		for err == nil {
			_, err = watch.Recv()
		}
		if status.Code(err) != codes.Unavailable {
			t.Errorf("the watch ended with %v", err)
		}
	})
}

// dialHealth starts the health server in the bubble of the test and connects to it.
func dialHealth(t *testing.T, stopping context.Context, attached *atomic.Int64) grpc_health_v1.HealthClient {
	t.Helper()
	listener := wiretest.NewNetwork().Listen(1 << 16)
	s := newHealthServer(stopping, func() int { return int(attached.Load()) })
	served := make(chan error, 1)
	go func() { served <- serve(s, listener) }()
	conn, err := grpc.NewClient(
		"passthrough:///health", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return grpc_health_v1.NewHealthClient(conn)
}
