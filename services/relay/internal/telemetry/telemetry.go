// Package telemetry counts what the relay does.
package telemetry

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Counters are the relay's counters. They are safe for concurrent use.
type Counters struct {
	// Connections counts logical connections opened, Closed those that ended, by reason.
	connections, closed metric.Int64Counter
	// moves counts handoffs and resumes that ended, by outcome.
	moves metric.Int64Counter
	// frames counts frames, by direction; dropped those dropped, by reason; errors the breaches of the
	// protocol, by reason.
	frames, dropped, errors metric.Int64Counter

	in, out metric.MeasurementOption
}

// New makes the counters with the provider.
func New(provider metric.MeterProvider) (*Counters, error) {
	meter := provider.Meter("github.com/holdfast/holdfast/services/relay")
	c := &Counters{
		in:  metric.WithAttributeSet(attribute.NewSet(attribute.String("network.io.direction", "receive"))),
		out: metric.WithAttributeSet(attribute.NewSet(attribute.String("network.io.direction", "transmit"))),
	}
	var errs []error
	counter := func(into *metric.Int64Counter, name, unit, description string) {
		var err error
		*into, err = meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
		errs = append(errs, err)
	}
	counter(&c.connections, "holdfast.relay.connections.opened", "{connection}", "Logical connections opened.")
	counter(&c.closed, "holdfast.relay.connections.closed", "{connection}", "Logical connections ended, by reason.")
	counter(&c.moves, "holdfast.relay.moves", "{move}", "Moves that ended: handoffs and resumes, by outcome.")
	counter(&c.frames, "holdfast.relay.frames", "{frame}", "Frames on server connections, by direction.")
	counter(&c.dropped, "holdfast.relay.frames.dropped", "{frame}", "Frames dropped, by reason.")
	counter(&c.errors, "holdfast.relay.errors", "{error}", "Breaches of the protocol, by reason.")
	return c, errors.Join(errs...)
}

// Opened counts an opened logical connection.
func (c *Counters) Opened() { c.connections.Add(context.Background(), 1) }

// Closed counts an ended logical connection.
func (c *Counters) Closed(reason string) { add(c.closed, "reason", reason) }

// Moved counts a handoff or resume that ended.
func (c *Counters) Moved(outcome string) { add(c.moves, "outcome", outcome) }

// FramesIn counts received frames.
func (c *Counters) FramesIn(n int) { c.frames.Add(context.Background(), int64(n), c.in) }

// FramesOut counts sent frames.
func (c *Counters) FramesOut(n int) { c.frames.Add(context.Background(), int64(n), c.out) }

// Dropped counts a dropped frame.
func (c *Counters) Dropped(reason string) { add(c.dropped, "reason", reason) }

// Error counts a breach of the protocol.
func (c *Counters) Error(reason string) { add(c.errors, "error.type", reason) }

func add(counter metric.Int64Counter, key, value string) {
	counter.Add(context.Background(), 1, metric.WithAttributes(attribute.String(key, value)))
}
