// Package trail follows one move of a logical connection, as one of its two ends sees it, for a trace: the steps are noted as
// plain times while the connection is locked, and written into the span when the move is over.
package trail

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// SpanName is the name of the spans of both ends; the app server's is the child of the relay's.
const SpanName = "holdfast.migration"

// The attributes of the spans.
const (
	Connection  = attribute.Key("holdfast.connection")
	Application = attribute.Key("holdfast.application")
	Epoch       = attribute.Key("holdfast.epoch")
	// Mode is ModeHandoff or ModeResume.
	Mode   = attribute.Key("holdfast.mode")
	Reason = attribute.Key("holdfast.reason")
	// Previous and Target are ids of server connections; the others the ingresses that they came in through.
	Previous        = attribute.Key("holdfast.previous.server_connection")
	PreviousIngress = attribute.Key("holdfast.previous.ingress")
	Target          = attribute.Key("holdfast.target.server_connection")
	TargetIngress   = attribute.Key("holdfast.target.ingress")
	Outcome         = attribute.Key("holdfast.outcome")
	// StepNumber is an attribute of the events: the step's number in the protocol.
	StepNumber = attribute.Key("holdfast.step")
)

// The modes of a move.
const (
	ModeHandoff = "handoff"
	ModeResume  = "resume"
)

// maxSteps bounds the steps of one end.
const maxSteps = 8

// Trail is the span of a move under way. The nil Trail is one that nobody traces: its methods do nothing. A Trail is not safe
// for concurrent use: its owner guards it with the connection that it belongs to, and calls End without that lock.
type Trail struct {
	span  trace.Span
	steps [maxSteps]moment
	count int
}

type moment struct {
	step Step
	at   time.Time
}

// Start starts a span. It returns nil when the tracer does not record it.
func Start(ctx context.Context, tracer trace.Tracer, kind trace.SpanKind) *Trail {
	_, span := tracer.Start(ctx, SpanName, trace.WithSpanKind(kind))
	if !span.IsRecording() {
		return nil
	}
	return &Trail{span: span}
}

// Note notes that a step is done now. It calls nothing, and allocates nothing.
func (t *Trail) Note(s Step) {
	if t != nil {
		t.NoteAt(s, time.Now())
	}
}

// NoteAt notes that a step was done at the time. A zero time, and what is over the bound, is not noted.
func (t *Trail) NoteAt(s Step, at time.Time) {
	if t == nil || t.count == maxSteps || at.IsZero() {
		return
	}
	t.steps[t.count] = moment{s, at}
	t.count++
}

// Context returns a context with the span, for what is recorded beside it.
func (t *Trail) Context() context.Context {
	if t == nil {
		return context.Background()
	}
	return trace.ContextWithSpan(context.Background(), t.span)
}

// End writes the steps and the attributes into the span and ends it. Failed says that the move did not reach its aim.
func (t *Trail) End(outcome string, failed bool, attributes ...attribute.KeyValue) {
	if t == nil {
		return
	}
	t.span.SetAttributes(append(attributes, Outcome.String(outcome))...)
	for _, m := range t.steps[:t.count] {
		t.span.AddEvent(m.step.String(), trace.WithTimestamp(m.at), trace.WithAttributes(StepNumber.String(m.step.Number())))
	}
	if failed {
		t.span.SetStatus(codes.Error, outcome)
	}
	t.span.End()
}
