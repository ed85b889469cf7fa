package relay

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/holdfast/holdfast/pkg/appserver"
	"github.com/holdfast/holdfast/pkg/observe"
	"github.com/holdfast/holdfast/pkg/trail"
)

// traced runs on a stage whose relay and app servers are traced; the spans that have ended are in the recorder.
func traced(t *testing.T, run func(t *testing.T, s *stage, spans *tracetest.SpanRecorder)) {
	t.Helper()
	spans := tracetest.NewSpanRecorder()
	traces := trace.NewTracerProvider(trace.WithSpanProcessor(spans))
	onStageWith(t, nil, func(o *observe.Telemetry) { o.Traces = traces }, func(t *testing.T, s *stage) {
		s.changeServer = func(c *appserver.Config) { c.TracerProvider = traces }
		run(t, s, spans)
	})
}

// ended returns the spans of the connection that have ended, of each end in the order in which they began: what is told of two
// moves may cross.
func ended(spans *tracetest.SpanRecorder, id string) (relays, servers []trace.ReadOnlySpan) {
	for _, s := range spans.Ended() {
		if value(s, trail.Connection) != id {
			continue
		}
		if s.Parent().IsValid() {
			servers = append(servers, s)
		} else {
			relays = append(relays, s)
		}
	}
	began := func(a, b trace.ReadOnlySpan) int {
		return strings.Compare(value(a, trail.Epoch), value(b, trail.Epoch))
	}
	slices.SortStableFunc(relays, began)
	slices.SortStableFunc(servers, began)
	return relays, servers
}

func value(s trace.ReadOnlySpan, key attribute.Key) string {
	for _, kv := range s.Attributes() {
		if kv.Key == key {
			return kv.Value.AsString()
		}
	}
	return ""
}

// stepsOf says the events in a line: the number of each step and its name.
func stepsOf(s trace.ReadOnlySpan) string {
	var all []string
	for _, e := range s.Events() {
		all = append(all, e.Attributes[0].Value.AsString()+" "+e.Name)
	}
	return strings.Join(all, ", ")
}

// checkTimes checks that no event is before the one that stands before it.
func checkTimes(t *testing.T, s trace.ReadOnlySpan) {
	t.Helper()
	if !slices.IsSortedFunc(s.Events(), func(a, b trace.Event) int { return a.Time.Compare(b.Time) }) {
		t.Errorf("the events are not in the order of their times: %v", s.Events())
	}
}

func attributesOf(s trace.ReadOnlySpan) string {
	all := make([]string, 0, 8)
	for _, key := range []attribute.Key{
		trail.Mode, trail.Reason, trail.Epoch, trail.PreviousIngress, trail.TargetIngress, trail.Outcome, trail.Application,
	} {
		all = append(all, value(s, key))
	}
	return strings.Join(all, " ")
}

const relaySteps = "3 migrate.sent, 6 with_ack.received, 7 ack.sent, 8 receipt.received"

func TestTraceOfAHandoff(t *testing.T) {
	traced(t, func(t *testing.T, s *stage, spans *tracetest.SpanRecorder) {
		s.server("app-1", echo, "a", "b")
		g := s.on("a", "c")
		before, _ := ended(spans, g.id)
		s.reload("a", time.Second)
		synctest.Wait()
		relays, servers := ended(spans, g.id)
		relays = relays[len(before):]
		if len(relays) != 1 || len(servers) != len(before)+1 {
			t.Fatalf("%d spans of the relay and %d of the app server", len(relays), len(servers))
		}
		relay, server := relays[0], servers[len(servers)-1]
		if relay.Name() != trail.SpanName || server.Name() != trail.SpanName {
			t.Errorf("the spans are %q and %q", relay.Name(), server.Name())
		}
		if server.SpanContext().TraceID() != relay.SpanContext().TraceID() || server.Parent().SpanID() != relay.SpanContext().SpanID() {
			t.Error("the app server's span is not the child of the relay's")
		}
		if got, want := stepsOf(relay), "1 reload.requested, 2 connection.planned, "+relaySteps; got != want {
			t.Errorf("the relay's steps:\n got %s\nwant %s", got, want)
		}
		want := "4 migrate.received, 5 outgoing.paused, 6 with_ack.sent, 7 ack.received, 8 buffer.drained, 8 receipt.sent"
		if got := stepsOf(server); got != want {
			t.Errorf("the app server's steps:\n got %s\nwant %s", got, want)
		}
		epoch := fmt.Sprintf("1.%d", len(before)+2)
		if got, want := attributesOf(relay), "handoff reload "+epoch+" a b moved echo"; got != want {
			t.Errorf("the relay's attributes are %q, want %q", got, want)
		}
		if got, want := attributesOf(server), "handoff  "+epoch+" a b moved echo"; got != want {
			t.Errorf("the app server's attributes are %q, want %q", got, want)
		}
		for _, span := range []trace.ReadOnlySpan{relay, server} {
			checkTimes(t, span)
			if value(span, trail.Previous) != s.path("a") || value(span, trail.Target) != s.path("b") {
				t.Errorf("from %s to %s", value(span, trail.Previous), value(span, trail.Target))
			}
		}
	})
}

func TestTraceOfAMoveByAnOperator(t *testing.T) {
	traced(t, func(t *testing.T, s *stage, spans *tracetest.SpanRecorder) {
		s.server("app-1", echo, "a", "b")
		g := s.guest("c")
		s.move(g, "")
		relays, _ := ended(spans, g.id)
		if len(relays) != 1 || stepsOf(relays[0]) != relaySteps || value(relays[0], trail.Reason) != "operator" {
			t.Errorf("got %v", relays)
		}
	})
}

// The path that carries the connection is cut: both ends trace the resume, as one trace.
func TestTraceOfAResume(t *testing.T) {
	traced(t, func(t *testing.T, s *stage, spans *tracetest.SpanRecorder) {
		wires := s.wiredServer("app-1", echo, "a", "b")
		g := s.on("a", "c")
		before, _ := ended(spans, g.id)
		wires.cut("a")
		if err := g.exchange(1, 0); err != nil {
			t.Fatal(err)
		}
		relays, servers := ended(spans, g.id)
		relay, server := relays[len(relays)-1], servers[len(servers)-1]
		if len(relays) != len(before)+1 || server.Parent().SpanID() != relay.SpanContext().SpanID() {
			t.Fatalf("%d spans of the relay, with the app server's in the trace of another", len(relays))
		}
		if got, want := stepsOf(relay), "R1 resume.sent, R2 answer.received, R3 replay.begun"; got != want {
			t.Errorf("the relay's steps:\n got %s\nwant %s", got, want)
		}
		if got, want := stepsOf(server), "R1 resume.received, R2 answer.sent"; got != want {
			t.Errorf("the app server's steps:\n got %s\nwant %s", got, want)
		}
		epoch := fmt.Sprintf("1.%d", len(before)+2)
		if got, want := attributesOf(relay), "resume path_lost "+epoch+" a b resumed echo"; got != want {
			t.Errorf("the relay's attributes are %q, want %q", got, want)
		}
	})
}

// A handoff that is not answered ends with its outcome, on both ends, and the resume that follows is a trace of its own.
func TestTraceOfAnAbandonedHandoff(t *testing.T) {
	traced(t, func(t *testing.T, s *stage, spans *tracetest.SpanRecorder) {
		tap, _ := s.server("app-1", echo, "a", "b")
		g := s.on("a", "c")
		time.Sleep(time.Second)
		before, beforeServers := ended(spans, g.id)
		release := tap.hold("a", "out")
		defer release()
		s.startReload("a", time.Minute)
		time.Sleep(time.Minute)
		if err := g.exchange(1, 0); err != nil {
			t.Error(err)
		}
		relays, servers := ended(spans, g.id)
		relays, servers = relays[len(before):], servers[len(beforeServers):]
		if len(relays) != 2 || len(servers) != 2 {
			t.Fatalf("%d spans of the relay and %d of the app server", len(relays), len(servers))
		}
		if got := value(relays[0], trail.Outcome); got != "timed_out" || relays[0].Status().Code != codes.Error {
			t.Errorf("the handoff ended with %q and status %v", got, relays[0].Status())
		}
		if got, want := stepsOf(relays[0]), "1 reload.requested, 2 connection.planned, 3 migrate.sent"; got != want {
			t.Errorf("the handoff's steps:\n got %s\nwant %s", got, want)
		}
		if got := value(servers[0], trail.Outcome); got != "superseded" {
			t.Errorf("the handoff ended with %q for the app server", got)
		}
		if got := value(relays[1], trail.Outcome) + " " + value(relays[1], trail.Reason); got != "resumed timeout" {
			t.Errorf("the second span is of a move that ended with %q", got)
		}
		if relays[0].SpanContext().TraceID() == relays[1].SpanContext().TraceID() {
			t.Error("both moves are one trace")
		}
	})
}

// A connection that ends in a handoff ends its spans.
func TestTraceOfAConnectionThatEnds(t *testing.T) {
	traced(t, func(t *testing.T, s *stage, spans *tracetest.SpanRecorder) {
		tap, _ := s.server("app-1", echo, "a", "b")
		g := s.on("a", "c")
		time.Sleep(time.Second)
		release := tap.hold("a", "in") // the Ack does not arrive
		s.startReload("a", time.Minute)
		g.stop()
		release()
		time.Sleep(time.Minute)
		relays, servers := ended(spans, g.id)
		if len(relays) == 0 || len(relays) != len(servers) || len(spans.Started()) != len(spans.Ended()) {
			t.Errorf("%d spans of the relay and %d of the app server; %d were started and %d ended", len(relays), len(servers),
				len(spans.Started()), len(spans.Ended()))
		}
		if s.see(g) != nil {
			t.Error("the connection is there still")
		}
	})
}

// A relay that ends while a handoff is open ends its span, before the last export.
func TestTraceOfAHandoffAtTheEndOfTheRelay(t *testing.T) {
	traced(t, func(t *testing.T, s *stage, spans *tracetest.SpanRecorder) {
		tap, _ := s.server("app-1", echo, "a", "b")
		g := s.on("a", "c")
		time.Sleep(time.Second)
		before, _ := ended(spans, g.id)
		release := tap.hold("a", "out")
		defer release()
		s.startReload("a", time.Minute)
		s.stop()
		relays, _ := ended(spans, g.id)
		if relays = relays[len(before):]; len(relays) != 1 {
			t.Fatalf("%d spans of the relay have ended, want 1", len(relays))
		}
		if got := value(relays[0], trail.Outcome); got == "moved" || got == "" {
			t.Errorf("a handoff that was not answered ended with %q", got)
		}
	})
}
