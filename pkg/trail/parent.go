package trail

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// field is the one of the W3C Trace Context that travels. The other, tracestate, has no bound that a peer could rely on.
const field = "traceparent"

// maxParent bounds what is read, in bytes. Version 00 has 55; a later one may have more.
const maxParent = 128

// Parent returns the trace context for the other end: a W3C traceparent, or nothing when nobody traces the move.
func (t *Trail) Parent() string {
	if t == nil {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(t.Context(), carrier)
	return carrier[field]
}

// Within returns the context for a span under the one of a traceparent that came from a peer. It reports false when there is
// none, or none that is valid: the move is not traced then, and goes on all the same.
func Within(parent string) (context.Context, bool) {
	if parent == "" || len(parent) > maxParent {
		return nil, false
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{field: parent})
	return ctx, trace.SpanContextFromContext(ctx).IsValid()
}
