package relay

import (
	"context"
	"log/slog"
	"runtime/debug"
	"strings"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/selector"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/metric"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// serverOptions returns what both listeners have in common. Calls of operators are logged; the long streams of
// clients and app servers log for themselves what happens to them, and no span lives as long as they do.
func serverOptions(log *slog.Logger, meters metric.MeterProvider) []grpc.ServerOption {
	calls := logging.LoggerFunc(func(ctx context.Context, level logging.Level, msg string, fields ...any) {
		log.Log(ctx, slog.Level(level), msg, fields...)
	})
	events := logging.WithLogOnEvents(logging.FinishCall)
	recovered := recovery.WithRecoveryHandlerContext(func(ctx context.Context, p any) error {
		log.ErrorContext(ctx, "a call panicked", "panic", p, "stack", string(debug.Stack()))
		return status.Error(codes.Internal, "internal error; the relay's log has the details")
	})
	isAdmin := selector.MatchFunc(func(_ context.Context, c interceptors.CallMeta) bool {
		return c.Service == holdfastv1.AdminService_ServiceDesc.ServiceName
	})
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(
			selector.UnaryServerInterceptor(logging.UnaryServerInterceptor(calls, events), isAdmin),
			recovery.UnaryServerInterceptor(recovered),
		),
		grpc.ChainStreamInterceptor(
			selector.StreamServerInterceptor(logging.StreamServerInterceptor(calls, events), isAdmin),
			recovery.StreamServerInterceptor(recovered),
		),
		grpc.StatsHandler(otelgrpc.NewServerHandler(
			otelgrpc.WithMeterProvider(meters),
			otelgrpc.WithFilter(func(info *stats.RPCTagInfo) bool {
				return !strings.HasSuffix(info.FullMethodName, "/Attach") && !strings.HasSuffix(info.FullMethodName, "/Connect") &&
					!strings.HasSuffix(info.FullMethodName, "/WatchEvents")
			}),
		)),
	}
}
