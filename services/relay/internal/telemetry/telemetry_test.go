package telemetry

import (
	"fmt"
	"testing"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/holdfast/holdfast/pkg/trail"
)

func TestCounters(t *testing.T) {
	reader := metric.NewManualReader()
	c, err := New(metric.NewMeterProvider(metric.WithReader(reader)), noop.NewTracerProvider())
	if err != nil {
		t.Fatal(err)
	}
	c.Opened()
	c.Opened()
	c.Closed("CLIENT_GONE")
	c.ClientResumed(true)
	c.Begin(trail.ModeHandoff).End(Ended{Reason: "reload", Outcome: "moved"})
	c.BatchIn(3, 100)
	c.BatchIn(4, 200)
	c.BatchOut(5, 300)
	c.Dropped("StaleEpoch")
	c.Error("RULE_Gap")
	c.Error("MALFORMED_FRAME")

	var rm metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &rm); err != nil {
		t.Fatal(err)
	}
	got := make(map[string]int64)
	for _, m := range rm.ScopeMetrics[0].Metrics {
		if m.Description == "" || m.Unit == "" {
			t.Errorf("%s has description %q and unit %q", m.Name, m.Description, m.Unit)
		}
		if _, isSum := m.Data.(metricdata.Sum[int64]); !isSum {
			t.Errorf("%s is a %T, without anything recorded", m.Name, m.Data)
			continue
		}
		for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
			name := m.Name
			for _, kv := range p.Attributes.ToSlice() {
				name += fmt.Sprintf(" %s=%s", kv.Key, kv.Value.AsString())
			}
			got[name] = p.Value
		}
	}
	want := map[string]int64{
		"holdfast.relay.connections.opened":                             2,
		"holdfast.relay.connections.closed reason=CLIENT_GONE":          1,
		"holdfast.relay.clients.resumed before=here":                    1,
		"holdfast.relay.clients.resumed before=other":                   0,
		"holdfast.relay.moves mode=handoff outcome=moved reason=reload": 1,
		"holdfast.relay.frames network.io.direction=receive":            7,
		"holdfast.relay.frames network.io.direction=transmit":           5,
		"holdfast.relay.batches network.io.direction=receive":           2,
		"holdfast.relay.batches network.io.direction=transmit":          1,
		"holdfast.relay.io network.io.direction=receive":                300,
		"holdfast.relay.io network.io.direction=transmit":               300,
		"holdfast.relay.frames.dropped reason=Duplicate":                0,
		"holdfast.relay.frames.dropped reason=WrongPath":                0,
		"holdfast.relay.frames.dropped reason=UnknownConnection":        0,
		"holdfast.relay.frames.dropped reason=StaleEpoch":               1,
		"holdfast.relay.errors error.type=RULE_Gap":                     1,
		"holdfast.relay.errors error.type=MALFORMED_FRAME":              1,
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("counted %v,\nwant %v", got, want)
	}
}

// TestBudgetBatch: counting a batch allocates nothing, whatever is in it.
func TestBudgetBatch(t *testing.T) {
	c, err := New(metric.NewMeterProvider(metric.WithReader(metric.NewManualReader())), noop.NewTracerProvider())
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(1000, func() {
		c.BatchIn(32, 4096)
		c.BatchOut(32, 4096)
	}); n != 0 {
		t.Errorf("%v allocations for a batch each way; the budget is 0", n)
	}
}
