package appserver

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// counters count what the server does. They are safe for concurrent use.
type counters struct {
	dropped, moves metric.Int64Counter
}

func newCounters(provider metric.MeterProvider) (*counters, error) {
	meter := provider.Meter("github.com/holdfast/holdfast/pkg/appserver")
	dropped, err := meter.Int64Counter("holdfast.appserver.frames.dropped", metric.WithUnit("{frame}"),
		metric.WithDescription("Frames dropped, by reason."))
	if err != nil {
		return nil, fmt.Errorf("making the counters: %w", err)
	}
	moves, err := meter.Int64Counter("holdfast.appserver.moves", metric.WithUnit("{move}"),
		metric.WithDescription("Moves that ended, by outcome: moved, resumed, or superseded by a resume."))
	if err != nil {
		return nil, fmt.Errorf("making the counters: %w", err)
	}
	return &counters{dropped, moves}, nil
}

func (c *counters) drop(reason string) {
	c.dropped.Add(context.Background(), 1, metric.WithAttributes(attribute.String("reason", reason)))
}

func (c *counters) move(outcome string) {
	c.moves.Add(context.Background(), 1, metric.WithAttributes(attribute.String("outcome", outcome)))
}
