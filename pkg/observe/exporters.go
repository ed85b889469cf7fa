package observe

import (
	"context"
	"fmt"
	"os"
	"strings"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// asked reports whether the environment asks for an export of the signal, TRACES or METRICS: it names an exporter for it, or an
// endpoint to send to. The standard's own default, to send to localhost, would have each program try to reach a
// collector that nobody spoke of.
func asked(signal string) bool {
	if disabled := os.Getenv("OTEL_SDK_DISABLED"); strings.EqualFold(disabled, "true") {
		return false
	}
	for _, name := range []string{
		"OTEL_" + signal + "_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_" + signal + "_ENDPOINT",
	} {
		if os.Getenv(name) != "" {
			return true
		}
	}
	return false
}

func refused(signal string, err error) error {
	name := "OTEL_" + signal + "_EXPORTER"
	return fmt.Errorf("%s=%q: %w; want otlp or none, and OTEL_EXPORTER_OTLP_PROTOCOL=%q to be grpc or http/protobuf",
		name, os.Getenv(name), err, os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL"))
}

// spanExporter returns the exporter of traces that the environment asks for; nil for none.
func spanExporter(ctx context.Context) (sdktrace.SpanExporter, error) {
	if !asked("TRACES") {
		return nil, nil
	}
	exporter, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		return nil, refused("TRACES", err)
	}
	if autoexport.IsNoneSpanExporter(exporter) {
		return nil, nil
	}
	return exporter, nil
}

// metricReader returns the reader for the export of metrics that the environment asks for; nil for none.
func metricReader(ctx context.Context) (sdkmetric.Reader, error) {
	if !asked("METRICS") {
		return nil, nil
	}
	reader, err := autoexport.NewMetricReader(ctx)
	if err != nil {
		return nil, refused("METRICS", err)
	}
	if autoexport.IsNoneMetricReader(reader) {
		return nil, nil
	}
	return reader, nil
}
