// Package telemetry counts, measures and traces what the relay does.
package telemetry

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/holdfast/holdfast/pkg/label"
	"github.com/holdfast/holdfast/pkg/ordering"
)

const scope = "github.com/holdfast/holdfast/services/relay"

// The attributes of the metrics. None has more values than are written in the code, but for the names of applications and
// ingresses, which are bounded.
const (
	direction   = attribute.Key("network.io.direction")
	errorType   = attribute.Key("error.type")
	application = attribute.Key("application")
	ingress     = attribute.Key("ingress")
	draining    = attribute.Key("draining")
	ingresses   = attribute.Key("ingresses")
	mode        = attribute.Key("mode")
	outcome     = attribute.Key("outcome")
	phase       = attribute.Key("phase")
	reason      = attribute.Key("reason")
	before      = attribute.Key("before")
)

// Counters are the relay's instruments. They are safe for concurrent use.
type Counters struct {
	// Set once.
	meter  metric.Meter
	tracer trace.Tracer
	// connections counts logical connections opened, closed those that ended, by reason.
	connections, closed metric.Int64Counter
	// resumed counts clients that came anew, by whether they were here before.
	resumed metric.Int64Counter
	// moves counts handoffs and resumes that ended, by mode, reason and outcome.
	moves metric.Int64Counter
	// dropped counts dropped frames, by reason; errors the breaches of the protocol, by reason.
	dropped, errors metric.Int64Counter
	// pauses, phases, evacuations and heartbeats are durations in seconds.
	pauses, phases, evacuations, heartbeats metric.Float64Histogram

	in, out traffic
	// applications and ingresses are the names that have labels of their own.
	applications, ingresses label.Set
}

// New makes the instruments with the providers. Observe adds the gauges.
func New(meters metric.MeterProvider, traces trace.TracerProvider) (*Counters, error) {
	c := &Counters{meter: meters.Meter(scope), tracer: traces.Tracer(scope)}
	var errs []error
	counter := func(into *metric.Int64Counter, name, unit, description string) {
		var err error
		*into, err = c.meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
		errs = append(errs, err)
	}
	counter(&c.connections, "holdfast.relay.connections.opened", "{connection}", "Logical connections opened.")
	counter(&c.closed, "holdfast.relay.connections.closed", "{connection}", "Logical connections ended, by reason.")
	counter(&c.resumed, "holdfast.relay.clients.resumed", "{client}",
		"Resumable clients that came anew and have their connection again, by where they were before: at this relay or at another.")
	counter(&c.moves, "holdfast.relay.moves", "{move}", "Moves that ended: handoffs and resumes, by mode, reason and outcome.")
	counter(&c.dropped, "holdfast.relay.frames.dropped", "{frame}", "Frames dropped, by reason.")
	counter(&c.errors, "holdfast.relay.errors", "{error}", "Breaches of the protocol, by reason.")
	histogram := func(into *metric.Float64Histogram, name, description string, bounds []float64) {
		var err error
		*into, err = c.meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description),
			metric.WithExplicitBucketBoundaries(bounds...))
		errs = append(errs, err)
	}
	histogram(&c.pauses, "holdfast.relay.pause.duration",
		"For how long a move that ended well held up the messages of its connection: in a handoff as the app server measured it, in a resume since the loss was noticed.", short)
	histogram(&c.phases, "holdfast.relay.move.phase.duration", "For how long each phase of a move took.", short)
	histogram(&c.evacuations, "holdfast.relay.evacuation.duration",
		"From the first handoff off a draining path to the end of the last one.", long)
	histogram(&c.heartbeats, "holdfast.relay.heartbeat.duration", "Round trips of heartbeats, by ingress.", short)
	errs = append(errs, c.observeTraffic())
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	// From 0 on, so that the first one is seen to be one more.
	for _, from := range []string{here, other} {
		c.resumed.Add(context.Background(), 0, metric.WithAttributes(before.String(from)))
	}
	for _, why := range []string{ordering.Duplicate.String(), ordering.StaleEpoch.String(), ordering.WrongPath.String(), UnknownConnection} {
		c.dropped.Add(context.Background(), 0, metric.WithAttributes(reason.String(why)))
	}
	return c, nil
}

// Where a client that comes anew was before.
const here, other = "here", "other"

// UnknownConnection is why a frame is dropped that is for no connection that is there; the other reasons are the verdicts.
const UnknownConnection = "UnknownConnection"

// The bounds of the buckets, in seconds: of what one path does, and of what concerns many connections.
var (
	short = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
	long  = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600}
)

// Opened counts an opened logical connection.
func (c *Counters) Opened() { c.connections.Add(context.Background(), 1) }

// Closed counts an ended logical connection.
func (c *Counters) Closed(why string) { add(c.closed, reason.String(why)) }

// ClientResumed counts a client that came anew.
func (c *Counters) ClientResumed(hereBefore bool) {
	from := other
	if hereBefore {
		from = here
	}
	add(c.resumed, before.String(from))
}

// Dropped counts a dropped frame.
func (c *Counters) Dropped(why string) { add(c.dropped, reason.String(why)) }

// Error counts a breach of the protocol.
func (c *Counters) Error(why string) { add(c.errors, errorType.String(why)) }

// Evacuated records how long an evacuation took.
func (c *Counters) Evacuated(took time.Duration) {
	c.evacuations.Record(context.Background(), took.Seconds())
}

// RoundTrip records the round trip of a heartbeat on a path through the ingress.
func (c *Counters) RoundTrip(through string, took time.Duration) {
	c.heartbeats.Record(context.Background(), took.Seconds(), metric.WithAttributes(ingress.String(c.ingresses.Of(through))))
}

func add(counter metric.Int64Counter, attributes ...attribute.KeyValue) {
	counter.Add(context.Background(), 1, metric.WithAttributes(attributes...))
}
