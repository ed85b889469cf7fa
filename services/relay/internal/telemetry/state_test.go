package telemetry

import (
	"fmt"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/holdfast/holdfast/pkg/label"
)

// However many names of ingresses and applications come by, the labels are bounded, and nothing is left out of the sums.
func TestLabelsAreBounded(t *testing.T) {
	const names = 1000
	reader := metric.NewManualReader()
	c, err := New(metric.NewMeterProvider(metric.WithReader(reader)), noop.NewTracerProvider())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Observe(func() State {
		s := State{Clients: make(map[string]int), AppServers: make(map[AppServers]int)}
		for i := range names {
			name := fmt.Sprintf("name-%d", i)
			s.Servers = append(s.Servers, Servers{Application: "echo", Ingress: name, Connections: 2, Logical: 3})
			s.Clients[name] = 1
			s.AppServers[AppServers{name, OneIngress}] = 1
		}
		return s
	}); err != nil {
		t.Fatal(err)
	}
	for i := range names {
		c.RoundTrip(fmt.Sprintf("name-%d", i), time.Millisecond)
	}
	for range 2 { // the labels are the same at the next collection
		var rm metricdata.ResourceMetrics
		if err := reader.Collect(t.Context(), &rm); err != nil {
			t.Fatal(err)
		}
		got := make(map[string][2]int) // points and their sum
		for _, m := range rm.ScopeMetrics[0].Metrics {
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				sum := 0
				for _, p := range data.DataPoints {
					sum += int(p.Value)
				}
				got[m.Name] = [2]int{len(data.DataPoints), sum}
			case metricdata.Histogram[float64]:
				sum := 0
				for _, p := range data.DataPoints {
					sum += int(p.Count)
				}
				got[m.Name] = [2]int{len(data.DataPoints), sum}
			}
		}
		const most = label.Most + 1
		for name, want := range map[string][2]int{
			"holdfast.relay.server_connections":  {most, 2 * names},
			"holdfast.relay.logical_connections": {most, 3 * names},
			"holdfast.relay.client_connections":  {most, names},
			"holdfast.relay.heartbeat.duration":  {most, names},
		} {
			if got[name] != want {
				t.Errorf("%s has %d points with the sum %d, want %d and %d", name, got[name][0], got[name][1], want[0], want[1])
			}
		}
		// "echo" has one of the labels.
		if got := got["holdfast.relay.app_servers"]; got != [2]int{most - 1, names} {
			t.Errorf("app_servers has %d points with the sum %d", got[0], got[1])
		}
	}
}
