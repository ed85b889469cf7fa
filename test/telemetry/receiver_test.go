package telemetry_test

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"

	collectormetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	metricsv1 "go.opentelemetry.io/proto/otlp/metrics/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
)

// receiver takes what is exported over OTLP.
type receiver struct {
	collectortrace.UnimplementedTraceServiceServer
	address string

	mu sync.Mutex
	// Guarded by mu. metrics are the last that each service sent.
	spans   []span
	metrics map[string][]*metricsv1.Metric
}

// span is a span with the service that it came from.
type span struct {
	*tracev1.Span
	service, instance string
}

// startReceiver serves on a free port until the test ends.
func startReceiver(t *testing.T) *receiver {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{address: listener.Addr().String(), metrics: make(map[string][]*metricsv1.Metric)}
	server := grpc.NewServer()
	collectortrace.RegisterTraceServiceServer(server, r)
	collectormetrics.RegisterMetricsServiceServer(server, metricsReceiver{receiver: r})
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return r
}

// Export implements the trace service of OTLP.
func (r *receiver) Export(_ context.Context, req *collectortrace.ExportTraceServiceRequest) (*collectortrace.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range req.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				r.spans = append(r.spans, span{
					s, resourceValue(resource.GetResource(), "service.name"),
					resourceValue(resource.GetResource(), "service.instance.id"),
				})
			}
		}
	}
	return &collectortrace.ExportTraceServiceResponse{}, nil
}

// metricsReceiver is the receiver as the metrics service of OTLP, whose method has the same name.
type metricsReceiver struct {
	collectormetrics.UnimplementedMetricsServiceServer
	receiver *receiver
}

// Export implements the metrics service of OTLP.
func (m metricsReceiver) Export(_ context.Context, req *collectormetrics.ExportMetricsServiceRequest) (*collectormetrics.ExportMetricsServiceResponse, error) {
	r := m.receiver
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range req.GetResourceMetrics() {
		service := resourceValue(resource.GetResource(), "service.name")
		r.metrics[service] = nil
		for _, scope := range resource.GetScopeMetrics() {
			r.metrics[service] = append(r.metrics[service], scope.GetMetrics()...)
		}
	}
	return &collectormetrics.ExportMetricsServiceResponse{}, nil
}

// migrations returns the spans of moves that a service sent, and pushed the metrics that it sent last.
func (r *receiver) migrations(service string) []span {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.spans), func(s span) bool {
		return s.service != service || s.GetName() != "holdfast.migration"
	})
}

func (r *receiver) pushed(service string) map[string]*metricsv1.Metric {
	r.mu.Lock()
	defer r.mu.Unlock()
	byName := make(map[string]*metricsv1.Metric)
	for _, m := range r.metrics[service] {
		byName[m.GetName()] = m
	}
	return byName
}

func resourceValue(r *resourcev1.Resource, key string) string { return value(r.GetAttributes(), key) }

func value(attributes []*commonv1.KeyValue, key string) string {
	for _, kv := range attributes {
		if kv.GetKey() == key {
			return kv.GetValue().GetStringValue()
		}
	}
	return ""
}
