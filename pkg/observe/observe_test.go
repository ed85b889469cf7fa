package observe

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// bare has none of the variables set that choose an export.
func bare(t *testing.T) {
	t.Helper()
	for _, name := range []string{
		"OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT",
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL",
		"OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES",
	} {
		t.Setenv(name, "")
	}
}

func start(t *testing.T, log *slog.Logger) *Telemetry {
	t.Helper()
	o, err := Start(t.Context(), Service{Name: "program", InstanceID: "one"}, log)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func scrape(o *Telemetry) string {
	w := httptest.NewRecorder()
	o.Page.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

func TestPageIsAlwaysThere(t *testing.T) {
	bare(t)
	t.Setenv("OTEL_SDK_DISABLED", "true")
	o := start(t, slog.New(slog.DiscardHandler))
	counter, err := o.Meters.Meter("test").Int64Counter("some.events", metric.WithUnit("{event}"))
	if err != nil {
		t.Fatal(err)
	}
	counter.Add(t.Context(), 3, metric.WithAttributes(attribute.String("kind", "good")))
	page := scrape(o)
	for _, want := range []string{
		"# TYPE some_events_total counter", `some_events_total{kind="good"} 3`, "go_goroutines ", "process_open_fds ",
		`service_instance_id="one"`, `service_name="program"`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	if err := o.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestEnvironmentNamesTheService(t *testing.T) {
	bare(t)
	t.Setenv("OTEL_SERVICE_NAME", "other")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=two,deployment.environment.name=test")
	o := start(t, slog.New(slog.DiscardHandler))
	defer func() { _ = o.Shutdown(t.Context()) }()
	page := scrape(o)
	for _, want := range []string{`service_instance_id="two"`, `service_name="other"`, `deployment_environment_name="test"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
}

func TestNothingIsTracedUnasked(t *testing.T) {
	for name, environment := range map[string]map[string]string{
		"nothing is set":  {},
		"asked for none":  {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
		"all is disabled": {"OTEL_SDK_DISABLED": "TRUE", "OTEL_TRACES_EXPORTER": "otlp"},
	} {
		t.Run(name, func(t *testing.T) {
			bare(t)
			for k, v := range environment {
				t.Setenv(k, v)
			}
			o := start(t, slog.New(slog.DiscardHandler))
			defer func() { _ = o.Shutdown(t.Context()) }()
			_, span := o.Traces.Tracer("test").Start(t.Context(), "a span")
			defer span.End()
			if span.IsRecording() {
				t.Error("a span is recorded")
			}
			if n := testing.AllocsPerRun(100, func() {
				_, s := o.Traces.Tracer("test").Start(t.Context(), "a span")
				s.End()
			}); n > 1 { // the context that carries it
				t.Errorf("a span that nobody takes costs %v allocations", n)
			}
		})
	}
}

func TestUnknownExporterIsAnError(t *testing.T) {
	for _, name := range []string{"OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER"} {
		bare(t)
		t.Setenv(name, "carrier-pigeon")
		_, err := Start(t.Context(), Service{Name: "program", InstanceID: "one"}, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "carrier-pigeon") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A collector that takes the connection and says nothing does not hold up the end of a program for long.
func TestShutdownIsBounded(t *testing.T) {
	bare(t)
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+mute.Addr().String())
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "300") // ms; what is sent then ends, well after the shutdown is given up
	var logs bytes.Buffer
	o := start(t, slog.New(slog.NewTextHandler(&logs, nil)))
	_, span := o.Traces.Tracer("test").Start(t.Context(), "a span")
	if !span.IsRecording() {
		t.Fatal("no span is recorded, though the environment names an endpoint")
	}
	span.End()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := o.Shutdown(ctx); err == nil || ctx.Err() == nil {
		t.Errorf("got %v, with the context at %v", err, ctx.Err())
	}
}
