package app

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// watchInterval is how often a watcher's answer is looked at anew.
const watchInterval = 200 * time.Millisecond

// health answers grpc.health.v1: SERVING while the app server has a server connection.
type health struct {
	grpc_health_v1.UnimplementedHealthServer
	attached func() int
	// stopping ends the watches.
	stopping context.Context
}

// Check answers for the empty service name, which stands for the whole process.
func (h *health) Check(_ context.Context, req *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	if name := req.GetService(); name != "" {
		return nil, status.Errorf(codes.NotFound, "service %q is not known here; ask for the empty name", name)
	}
	return &grpc_health_v1.HealthCheckResponse{Status: h.status()}, nil
}

// List has the one service that Check knows.
func (h *health) List(context.Context, *grpc_health_v1.HealthListRequest) (*grpc_health_v1.HealthListResponse, error) {
	return &grpc_health_v1.HealthListResponse{
		Statuses: map[string]*grpc_health_v1.HealthCheckResponse{"": {Status: h.status()}},
	}, nil
}

// Watch sends the status now and whenever it changed.
func (h *health) Watch(req *grpc_health_v1.HealthCheckRequest, stream grpc.ServerStreamingServer[grpc_health_v1.HealthCheckResponse]) error {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	last := grpc_health_v1.HealthCheckResponse_UNKNOWN
	for {
		now := h.status()
		if req.GetService() != "" {
			now = grpc_health_v1.HealthCheckResponse_SERVICE_UNKNOWN
		}
		if now != last {
			if err := stream.Send(&grpc_health_v1.HealthCheckResponse{Status: now}); err != nil {
				return err
			}
			last = now
		}
		select {
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		case <-h.stopping.Done():
			return status.Error(codes.Unavailable, "the app server is shutting down")
		case <-tick.C:
		}
	}
}

func (h *health) status() grpc_health_v1.HealthCheckResponse_ServingStatus {
	if h.stopping.Err() == nil && h.attached() > 0 {
		return grpc_health_v1.HealthCheckResponse_SERVING
	}
	return grpc_health_v1.HealthCheckResponse_NOT_SERVING
}
