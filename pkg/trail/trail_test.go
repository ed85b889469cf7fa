package trail

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func recorded() (*tracetest.SpanRecorder, trace.Tracer) {
	spans := tracetest.NewSpanRecorder()
	return spans, sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("test")
}

func TestTrail(t *testing.T) {
	spans, tracer := recorded()
	relay := Start(t.Context(), tracer, trace.SpanKindClient)
	relay.NoteAt(ReloadRequested, time.Time{}) // there was none
	relay.NoteAt(Planned, time.Unix(1, 0))
	ctx, ok := Within(relay.Parent())
	if !ok {
		t.Fatalf("%q is no parent", relay.Parent())
	}
	Start(ctx, tracer, trace.SpanKindServer).End("moved", false)
	relay.End("timed_out", true, Epoch.String("1.2"))
	ended := spans.Ended()
	if len(ended) != 2 || ended[0].Parent().SpanID() != ended[1].SpanContext().SpanID() ||
		ended[0].SpanContext().TraceID() != ended[1].SpanContext().TraceID() || !ended[0].Parent().IsRemote() {
		t.Fatalf("got %v", ended)
	}
	s := ended[1]
	if len(s.Events()) != 1 || s.Events()[0].Name != "connection.planned" || !s.Events()[0].Time.Equal(time.Unix(1, 0)) {
		t.Errorf("events: %v", s.Events())
	}
	if s.Status().Code != codes.Error || s.Status().Description != "timed_out" || ended[0].Status().Code != codes.Unset {
		t.Errorf("status: %v and %v", s.Status(), ended[0].Status())
	}
}

func TestStepsAreBounded(t *testing.T) {
	spans, tracer := recorded()
	trail := Start(t.Context(), tracer, trace.SpanKindClient)
	for range 3 * maxSteps {
		trail.Note(Planned)
	}
	trail.End("moved", false)
	if n := len(spans.Ended()[0].Events()); n != maxSteps {
		t.Errorf("%d events; the bound is %d", n, maxSteps)
	}
}

// What nobody traces costs the owner of a trail nothing.
func TestUntraced(t *testing.T) {
	for name, tracer := range map[string]trace.Tracer{
		"no provider": noop.NewTracerProvider().Tracer("test"),
		"not sampled": sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample())).Tracer("test"),
	} {
		if trail := Start(t.Context(), tracer, trace.SpanKindClient); trail != nil {
			t.Errorf("%s: got a trail", name)
		}
	}
	var none *Trail
	if n := testing.AllocsPerRun(100, func() {
		none.Note(Planned)
		none.End("moved", false)
	}); n != 0 || none.Parent() != "" || none.Context() == nil {
		t.Errorf("%v allocations, parent %q", n, none.Parent())
	}
}

func TestWithinRefuses(t *testing.T) {
	const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	if _, ok := Within(good); !ok {
		t.Fatal("a good one is refused")
	}
	for name, parent := range map[string]string{
		"nothing":         "",
		"no trace":        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
		"no span":         "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
		"too short":       good[:54],
		"too long":        good + "-" + strings.Repeat("0", maxParent),
		"longer":          good + "-00",
		"upper case":      strings.ToUpper(good),
		"a version of ff": "ff" + good[2:],
		"no digits":       strings.ReplaceAll(good, "0", "x"),
		"no text":         "\x00\xff\n",
	} {
		if ctx, ok := Within(parent); ok {
			t.Errorf("%s: %q is taken as %v", name, parent, trace.SpanContextFromContext(ctx))
		}
	}
}

func FuzzWithin(f *testing.F) {
	f.Add("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	f.Add("")
	f.Fuzz(func(t *testing.T, parent string) {
		ctx, ok := Within(parent)
		if ok && (ctx == nil || len(parent) > maxParent || !trace.SpanContextFromContext(ctx).IsRemote()) {
			t.Errorf("%q is taken", parent)
		}
	})
}

func TestStepNames(t *testing.T) {
	seen := make(map[string]bool)
	for s := ReloadRequested; s <= Replayed; s++ {
		if s.String() == "" || s.Number() == "?" || seen[s.String()] {
			t.Errorf("step %d is called %q, number %q", s, s, s.Number())
		}
		seen[s.String()] = true
	}
	if none := Step(0); none.String() != "Step(0)" || none.Number() != "?" || (Replayed+1).Number() != "?" {
		t.Error("what is no step has a name")
	}
	if context.Background() != (*Trail)(nil).Context() {
		t.Error("no trail has a context of its own")
	}
}
