package appserver_test

import (
	"strings"
	"testing"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/appserver"
)

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// within gives a frame that begins a move a trace context.
func within(f *holdfastv1.Frame, parent string) *holdfastv1.Frame {
	f.GetMigrate().Traceparent = parent
	return f
}

// A trace context that is none is no reason to refuse a move, and one that is makes the span its child.
func TestTraceContextOfARelay(t *testing.T) {
	for name, c := range map[string]struct {
		parent string
		spans  int
	}{
		"valid":                 {parent, 1},
		"none":                  {"", 0},
		"nonsense":              {"what is this", 0},
		"too long":              {parent + "-" + strings.Repeat("a", 1<<16), 0},
		"zeros":                 {"00-00000000000000000000000000000000-0000000000000000-00", 0},
		"the relay samples not": {strings.TrimSuffix(parent, "01") + "00", 0},
	} {
		t.Run(name, func(t *testing.T) {
			spans := tracetest.NewSpanRecorder()
			connected(t, func(_ *world, config *appserver.Config) {
				config.TracerProvider = trace.NewTracerProvider(trace.WithSpanProcessor(spans))
			}, func(t *testing.T, w *world, a, b *stream, x *session) {
				b.send(within(migrate(2), c.parent))
				w.expect("a>withack@2")
				a.send(ack(2))
				b.send(data(1, 2, "one"))
				x.receives(t, "one")
			})
			ended := spans.Ended()
			if len(ended) != c.spans || len(spans.Started()) != c.spans {
				t.Fatalf("%d spans were started and %d ended, want %d", len(spans.Started()), len(ended), c.spans)
			}
			if c.spans == 1 && (ended[0].Parent().TraceID().String() != parent[3:35] || ended[0].Parent().SpanID().String() != parent[36:52]) {
				t.Errorf("the span is the child of %v", ended[0].Parent())
			}
		})
	}
}

// Every move that begins ends, with one outcome, and so does its span.
func TestOutcomesOfMoves(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	reader := metric.NewManualReader()
	connected(t, func(_ *world, config *appserver.Config) {
		config.TracerProvider = trace.NewTracerProvider(trace.WithSpanProcessor(spans))
		config.MeterProvider = metric.NewMeterProvider(metric.WithReader(reader))
	}, func(t *testing.T, w *world, a, b *stream, _ *session) {
		b.send(within(migrate(2), parent)) // is moved
		settle()
		a.send(ack(2))
		settle()
		a.send(within(migrate(3), parent)) // is superseded
		settle()
		a.send(within(resume(4, 0), parent)) // by a resume
		settle()
		b.send(within(migrate(5), parent)) // its connection ends
		settle()
		w.take()
	})
	var rm metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &rm); err != nil {
		t.Fatal(err)
	}
	counted := make(map[string]int64)
	for _, m := range rm.ScopeMetrics[0].Metrics {
		switch {
		case m.Name == "holdfast.appserver.moves":
			for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
				outcome, _ := p.Attributes.Value("outcome")
				counted[outcome.AsString()] = p.Value
			}
		case m.Name == "holdfast.appserver.pause.duration":
			counted["pauses"] = int64(m.Data.(metricdata.Histogram[float64]).DataPoints[0].Count)
		case strings.HasSuffix(m.Name, "connections"):
			t.Errorf("%s is shown after the server's end", m.Name)
		}
	}
	for what, want := range map[string]int64{"moved": 1, "superseded": 1, "resumed": 1, "connection_ended": 1, "pauses": 1} {
		if counted[what] != want {
			t.Errorf("%d are counted as %s, want %d", counted[what], what, want)
		}
	}
	if len(spans.Started()) != 4 || len(spans.Ended()) != 4 {
		t.Errorf("%d spans were started and %d ended, want 4", len(spans.Started()), len(spans.Ended()))
	}
}
