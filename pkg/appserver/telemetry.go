package appserver

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/holdfast/holdfast/pkg/label"
	"github.com/holdfast/holdfast/pkg/ordering"
)

// scope names the library in metrics and traces.
const scope = "github.com/holdfast/holdfast/pkg/appserver"

// pauseBounds are the bounds of the buckets of a pause, in seconds.
var pauseBounds = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

// unknownConnection is why a frame is dropped that is for no connection that is there; the other reasons are the verdicts.
const unknownConnection = "UnknownConnection"

// counters are what the server counts and measures. They are safe for concurrent use.
type counters struct {
	// Set once.
	meter          metric.Meter
	dropped, moves metric.Int64Counter
	pauses         metric.Float64Histogram

	ingresses label.Set
}

func newCounters(provider metric.MeterProvider) (*counters, error) {
	c := &counters{meter: provider.Meter(scope)}
	var dropped, moves, pauses error
	c.dropped, dropped = c.meter.Int64Counter("holdfast.appserver.frames.dropped", metric.WithUnit("{frame}"),
		metric.WithDescription("Frames dropped, by reason."))
	c.moves, moves = c.meter.Int64Counter("holdfast.appserver.moves", metric.WithUnit("{move}"), metric.WithDescription(
		"Moves that ended, by outcome: moved, resumed, superseded by a resume, or ended with their connection."))
	c.pauses, pauses = c.meter.Float64Histogram("holdfast.appserver.pause.duration", metric.WithUnit("s"), metric.WithDescription(
		"For how long a handoff held the outgoing traffic of its connection."), metric.WithExplicitBucketBoundaries(pauseBounds...))
	if err := errors.Join(dropped, moves, pauses); err != nil {
		return nil, fmt.Errorf("making the counters: %w", err)
	}
	// From 0 on, so that the first one is seen to be one more.
	for _, reason := range []string{
		ordering.Duplicate.String(), ordering.StaleEpoch.String(), ordering.WrongPath.String(), unknownConnection,
	} {
		c.dropped.Add(context.Background(), 0, metric.WithAttributes(attribute.String("reason", reason)))
	}
	return c, nil
}

func (c *counters) drop(reason string) {
	c.dropped.Add(context.Background(), 1, metric.WithAttributes(attribute.String("reason", reason)))
}

func (c *counters) move(outcome string) {
	c.moves.Add(context.Background(), 1, metric.WithAttributes(attribute.String("outcome", outcome)))
}

// observe has the gauges of the server shown until the returned function is called.
func (c *counters) observe(s *Server) (stop func(), err error) {
	connections, connErr := c.meter.Int64ObservableUpDownCounter("holdfast.appserver.connections", metric.WithUnit("{connection}"),
		metric.WithDescription("Logical connections that are open."))
	paths, pathErr := c.meter.Int64ObservableUpDownCounter("holdfast.appserver.server_connections", metric.WithUnit("{connection}"),
		metric.WithDescription("Live server connections, by ingress and whether they are draining."))
	if err := errors.Join(connErr, pathErr); err != nil {
		return nil, fmt.Errorf("making the gauges: %w", err)
	}
	registration, err := c.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		count, byPath := s.census()
		o.ObserveInt64(connections, int64(count))
		for group, n := range byPath {
			o.ObserveInt64(paths, int64(n), metric.WithAttributes(
				attribute.String("ingress", group.ingress), attribute.Bool("draining", group.draining)))
		}
		return nil
	}, connections, paths)
	if err != nil {
		return nil, fmt.Errorf("making the gauges: %w", err)
	}
	return func() { _ = registration.Unregister() }, nil
}

// pathGroup is what server connections are counted by.
type pathGroup struct {
	ingress  string
	draining bool
}

// census counts what is connected.
func (s *Server) census() (connections int, byPath map[pathGroup]int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	byPath = make(map[pathGroup]int)
	for _, sc := range s.paths {
		byPath[pathGroup{s.counters.ingresses.Of(sc.ingress), sc.isLeaving()}]++
	}
	return len(s.connections), byPath
}
