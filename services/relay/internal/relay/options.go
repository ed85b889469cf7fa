package relay

import (
	"context"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/selector"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/metric"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/adminport"
)

// connectionTimeout is for how long a connection may take to say that it speaks HTTP/2. A shutdown waits for one that says
// nothing for as long.
const connectionTimeout = 5 * time.Second

// applicationOptions are for the listener of clients and app servers. Their long streams log and count for themselves what
// happens to them: no span lives as long as they do, and no handler looks at each message.
func applicationOptions(log *slog.Logger) []grpc.ServerOption {
	unary, stream := recoveries(log)
	return []grpc.ServerOption{
		grpc.ConnectionTimeout(connectionTimeout), grpc.UnaryInterceptor(unary), grpc.StreamInterceptor(stream),
		grpc.ForceServerCodecV2(wire.Codec{}), experimental.BufferPool(wire.BufferPool),
	}
}

// operatorOptions are for the admin listener. Calls of operators are logged. With a token they must show it.
func operatorOptions(log *slog.Logger, meters metric.MeterProvider, token *adminport.Token) []grpc.ServerOption {
	calls := logging.LoggerFunc(func(ctx context.Context, level logging.Level, msg string, fields ...any) {
		log.Log(ctx, slog.Level(level), msg, fields...)
	})
	events := logging.WithLogOnEvents(logging.FinishCall)
	isAdmin := selector.MatchFunc(func(_ context.Context, c interceptors.CallMeta) bool {
		return c.Service == holdfastv1.AdminService_ServiceDesc.ServiceName
	})
	unary, stream := recoveries(log)
	options := []grpc.ServerOption{
		grpc.ConnectionTimeout(connectionTimeout), grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.ChainUnaryInterceptor(selector.UnaryServerInterceptor(logging.UnaryServerInterceptor(calls, events), isAdmin), unary),
		grpc.ChainStreamInterceptor(selector.StreamServerInterceptor(logging.StreamServerInterceptor(calls, events), isAdmin), stream),
		grpc.StatsHandler(otelgrpc.NewServerHandler(
			otelgrpc.WithMeterProvider(meters),
			otelgrpc.WithFilter(func(info *stats.RPCTagInfo) bool { return isMeasured(info.FullMethodName) }),
		)),
	}
	if token != nil {
		unary, stream := token.Interceptors()
		options = append(options, grpc.ChainUnaryInterceptor(unary), grpc.ChainStreamInterceptor(stream))
	}
	return options
}

// isMeasured reports whether calls of the method are measured: those of operators that have an end. What is called by a name
// that is none would have a label of its own for each.
func isMeasured(method string) bool {
	name, ok := strings.CutPrefix(method, "/"+holdfastv1.AdminService_ServiceDesc.ServiceName+"/")
	if !ok || name == "WatchEvents" {
		return false
	}
	for _, m := range holdfastv1.AdminService_ServiceDesc.Methods {
		if m.MethodName == name {
			return true
		}
	}
	for _, s := range holdfastv1.AdminService_ServiceDesc.Streams {
		if s.StreamName == name {
			return true
		}
	}
	return false
}

// recoveries turn a panic in a handler into an error of its call.
func recoveries(log *slog.Logger) (grpc.UnaryServerInterceptor, grpc.StreamServerInterceptor) {
	recovered := recovery.WithRecoveryHandlerContext(func(ctx context.Context, p any) error {
		log.ErrorContext(ctx, "a call panicked", "panic", p, "stack", string(debug.Stack()))
		return status.Error(codes.Internal, "internal error; the relay's log has the details")
	})
	return recovery.UnaryServerInterceptor(recovered), recovery.StreamServerInterceptor(recovered)
}
