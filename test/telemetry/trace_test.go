package telemetry_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	metricsv1 "go.opentelemetry.io/proto/otlp/metrics/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
)

// The steps of each end, in order, as docs/telemetry.md has them.
const (
	relayHandoff  = "1 reload.requested, 2 connection.planned, 3 migrate.sent, 6 with_ack.received, 7 ack.sent, 8 receipt.received"
	serverHandoff = "4 migrate.received, 5 outgoing.paused, 6 with_ack.sent, 7 ack.received, 8 buffer.drained, 8 receipt.sent"
	relayResume   = "R1 resume.sent, R2 answer.received, R3 replay.begun"
	serverResume  = "R1 resume.received, R2 answer.sent"
)

// checkTraces checks that each move that was counted is one trace with a span of each end.
func checkTraces(t *testing.T, r *receiver, relay families) {
	t.Helper()
	relays, servers := r.migrations("holdfast-relay"), r.migrations("holdfast-appserver")
	if counted := relay.sum("holdfast_relay_moves_total"); float64(len(relays)) != counted {
		t.Errorf("%d traces of %v moves", len(relays), counted)
	}
	found := map[string]int{}
	for _, s := range relays {
		outcome := value(s.GetAttributes(), "holdfast.outcome")
		found[outcome]++
		var steps, childSteps string
		switch outcome {
		case "moved":
			steps, childSteps = relayHandoff, serverHandoff
		case "resumed":
			steps, childSteps = relayResume, serverResume
		default: // a path was lost in it, so that it ended before its last step
			continue
		}
		i := slices.IndexFunc(servers, func(c span) bool { return bytes.Equal(c.GetTraceId(), s.GetTraceId()) })
		if i < 0 {
			t.Errorf("trace %x has no span of the app server", s.GetTraceId())
			continue
		}
		child := servers[i]
		if !bytes.Equal(child.GetParentSpanId(), s.GetSpanId()) || len(s.GetParentSpanId()) > 0 {
			t.Errorf("trace %x: the app server's span is not the child of the relay's", s.GetTraceId())
		}
		checkSteps(t, s, steps)
		checkSteps(t, child, childSteps)
		checkSame(t, s, child)
	}
	if found["moved"] == 0 || found["resumed"] == 0 {
		t.Errorf("traces by outcome: %v", found)
	}
}

func checkSteps(t *testing.T, s span, want string) {
	t.Helper()
	var steps []string
	for _, e := range s.GetEvents() {
		steps = append(steps, value(e.GetAttributes(), "holdfast.step")+" "+e.GetName())
	}
	if got := strings.Join(steps, ", "); got != want {
		t.Errorf("the steps of %s:\n got %s\nwant %s", s.service, got, want)
	}
	if !slices.IsSortedFunc(s.GetEvents(), func(a, b *tracev1.Span_Event) int { return int(a.GetTimeUnixNano()) - int(b.GetTimeUnixNano()) }) {
		t.Errorf("the steps of %s are not in the order of their times", s.service)
	}
	if s.GetEndTimeUnixNano() < s.GetStartTimeUnixNano() || s.GetStatus().GetCode() != tracev1.Status_STATUS_CODE_UNSET {
		t.Errorf("the span of %s ends %d ns after its start, with status %v", s.service, s.GetEndTimeUnixNano()-s.GetStartTimeUnixNano(), s.GetStatus())
	}
}

// checkSame checks that both ends speak of the same move.
func checkSame(t *testing.T, s, child span) {
	t.Helper()
	for _, key := range []string{
		"holdfast.connection", "holdfast.epoch", "holdfast.mode", "holdfast.outcome", "holdfast.target.server_connection",
		"holdfast.target.ingress", "holdfast.application",
	} {
		if a, b := value(s.GetAttributes(), key), value(child.GetAttributes(), key); a != b || a == "" {
			t.Errorf("%s is %q for the relay and %q for the app server", key, a, b)
		}
	}
	for _, key := range []string{"holdfast.reason", "holdfast.previous.server_connection", "holdfast.previous.ingress"} {
		if value(s.GetAttributes(), key) == "" {
			t.Errorf("the relay's span has no %s", key)
		}
	}
	if s.instance != "relay-1" || child.instance != "app-1" {
		t.Errorf("the spans are of %q and %q", s.instance, child.instance)
	}
}

// checkPushed checks that the same metrics are exported over OTLP, with their units.
func checkPushed(t *testing.T, r *receiver) {
	t.Helper()
	relay, server := r.pushed("holdfast-relay"), r.pushed("holdfast-appserver")
	for _, c := range []struct {
		metrics map[string]*metricsv1.Metric
		name    string
		unit    string
	}{
		{relay, "holdfast.relay.moves", "{move}"},
		{relay, "holdfast.relay.pause.duration", "s"},
		{relay, "holdfast.relay.move.phase.duration", "s"},
		{relay, "holdfast.relay.io", "By"},
		{relay, "holdfast.relay.frames", "{frame}"},
		{relay, "holdfast.relay.batches", "{batch}"},
		{relay, "holdfast.relay.retained", "By"},
		{relay, "holdfast.relay.moves.oldest_age", "s"},
		{server, "holdfast.appserver.moves", "{move}"},
		{server, "holdfast.appserver.pause.duration", "s"},
	} {
		if m := c.metrics[c.name]; m == nil || m.GetUnit() != c.unit || m.GetDescription() == "" {
			t.Errorf("%s was sent as %v, want the unit %q", c.name, m, c.unit)
		}
	}
}
