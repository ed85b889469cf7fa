// Package observe sets up metrics and traces for a program: a page for Prometheus at all times, and the exports that the
// standard OTEL_ variables of the environment ask for. With none of them set nothing is sent anywhere.
package observe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// FlushTime is for how long the last exports may take when a program ends.
const FlushTime = 3 * time.Second

// Service says what program it is. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES go before it.
type Service struct {
	// Name is the service.name, InstanceID the service.instance.id of this process.
	Name, InstanceID string
}

// Telemetry is where a program reports to. It is safe for concurrent use.
type Telemetry struct {
	// Meters takes metrics, Traces spans; what nobody exports is not recorded.
	Meters metric.MeterProvider
	Traces trace.TracerProvider
	// Page shows the metrics in the format of Prometheus.
	Page http.Handler

	shutdown []func(context.Context) error
}

// Start sets up the providers. What goes wrong later, such as an export that fails, is logged. Call Shutdown at the end.
func Start(ctx context.Context, s Service, log *slog.Logger) (*Telemetry, error) {
	otel.SetErrorHandler(&complaints{log: log})
	res, err := resource.New(ctx, resource.WithAttributes(attributesOf(s)...), resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	t := &Telemetry{Traces: noop.NewTracerProvider()}
	if err := t.startMetrics(ctx, res); err != nil {
		return nil, err
	}
	if err := t.startTraces(ctx, res); err != nil {
		return nil, errors.Join(err, t.Shutdown(ctx))
	}
	return t, nil
}

func attributesOf(s Service) []attribute.KeyValue {
	attributes := []attribute.KeyValue{
		attribute.String("service.name", s.Name), attribute.String("service.instance.id", s.InstanceID),
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		attributes = append(attributes, attribute.String("service.version", info.Main.Version))
	}
	return attributes
}

func (t *Telemetry) startMetrics(ctx context.Context, res *resource.Resource) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	page, err := otelprometheus.New(otelprometheus.WithRegisterer(registry), otelprometheus.WithoutScopeInfo())
	if err != nil {
		return fmt.Errorf("making the page for Prometheus: %w", err)
	}
	options := []sdkmetric.Option{sdkmetric.WithResource(res), sdkmetric.WithReader(page)}
	reader, err := metricReader(ctx)
	if err != nil {
		return err
	}
	if reader != nil {
		options = append(options, sdkmetric.WithReader(reader))
	}
	provider := sdkmetric.NewMeterProvider(options...)
	t.Meters = provider
	t.Page = promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	t.shutdown = append(t.shutdown, provider.Shutdown)
	return nil
}

func (t *Telemetry) startTraces(ctx context.Context, res *resource.Resource) error {
	exporter, err := spanExporter(ctx)
	if err != nil || exporter == nil {
		return err
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithResource(res), sdktrace.WithBatcher(exporter))
	t.Traces = provider
	t.shutdown = append(t.shutdown, provider.Shutdown)
	return nil
}

// Shutdown sends what was not sent yet, for the flush time at most, and ends the exports. It is called once.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, FlushTime)
	defer cancel()
	errs := make([]error, len(t.shutdown))
	var wg sync.WaitGroup
	for i, end := range t.shutdown { // side by side: one that is not answered must not take the time of the other
		wg.Go(func() { errs[i] = end(ctx) })
	}
	wg.Wait()
	t.shutdown = nil
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("sending the last telemetry: %w", err)
	}
	return nil
}
