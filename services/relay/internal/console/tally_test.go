package console

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/services/relay/internal/event"
)

func moved(from, to string, pause time.Duration) *event.Event {
	return &event.Event{
		Kind: holdfastv1.EventKind_EVENT_KIND_CONNECTION_MOVED, PreviousServerConnectionId: from, ServerConnectionId: to,
		Pause: durationpb.New(pause),
	}
}

// A pause is in the first class whose upper bound it does not pass.
func TestClassesOfPauses(t *testing.T) {
	for i, bound := range pauseBounds {
		for pause, class := range map[time.Duration]int{bound: i, bound + time.Microsecond: i + 1} {
			tally := newTally()
			tally.add(moved("x", "y", pause))
			if tally.Pauses[class] != 1 || tally.Longest != pause.Microseconds() || tally.Moved != 1 {
				t.Errorf("a pause of %v: %+v", pause, tally)
			}
		}
	}
}

// However many server connections and events there are, an update has a bound, and its counts are whole.
func TestUpdateIsBounded(t *testing.T) {
	const events = 10_000
	tally := newTally()
	for i := range events {
		tally.add(moved(fmt.Sprint("from-", i), "to", time.Millisecond))
		tally.add(&event.Event{Kind: holdfastv1.EventKind_EVENT_KIND_SERVER_CONNECTION_ATTACHED, Ingress: fmt.Sprint(i)})
		tally.add(&event.Event{Kind: holdfastv1.EventKind_EVENT_KIND_MISSED, Missed: 2})
	}
	tally.add(moved("from-3", "to", time.Second))
	tally.finish()
	if len(tally.Flows) != maxFlows || tally.Flows[0] != (flowView{"from-3", "to", 2}) {
		t.Errorf("%d flows, the largest %+v", len(tally.Flows), tally.Flows[0])
	}
	if len(tally.News) != maxNews || tally.News[maxNews-1].Ingress != fmt.Sprint(events-1) {
		t.Errorf("%d news, the last %+v", len(tally.News), tally.News[len(tally.News)-1])
	}
	if tally.Moved != events+1 || tally.Missed != 2*events || tally.empty() {
		t.Errorf("%d moved, %d missed", tally.Moved, tally.Missed)
	}
}

// Large updates come less often.
func TestPace(t *testing.T) {
	for size, want := range map[int]time.Duration{
		0: updateInterval, bytesPerSecond / 4: updateInterval, bytesPerSecond: time.Second, 4 * bytesPerSecond: 4 * time.Second,
	} {
		if got := pace(size); got != want {
			t.Errorf("after %d bytes: %v, want %v", size, got, want)
		}
	}
}

func TestEventsAreCounted(t *testing.T) {
	tally := newTally()
	if !tally.empty() {
		t.Error("a new one is not empty")
	}
	for kind, field := range map[holdfastv1.EventKind]*uint64{
		holdfastv1.EventKind_EVENT_KIND_CONNECTION_OPENED:  &tally.Opened,
		holdfastv1.EventKind_EVENT_KIND_CONNECTION_CLOSED:  &tally.Closed,
		holdfastv1.EventKind_EVENT_KIND_CONNECTION_PARKED:  &tally.Parked,
		holdfastv1.EventKind_EVENT_KIND_CONNECTION_RESUMED: &tally.Resumed,
		holdfastv1.EventKind_EVENT_KIND_CONNECTION_MOVED:   &tally.Moved,
		holdfastv1.EventKind_EVENT_KIND_CLIENT_RESUMED:     &tally.ClientsResumed,
		holdfastv1.EventKind_EVENT_KIND_CLIENT_AWAY:        &tally.ClientsAway,
		holdfastv1.EventKind_EVENT_KIND_CONNECTION_LET_GO:  &tally.LetGo,
	} {
		before := *field
		tally.add(&event.Event{Kind: kind})
		if *field != before+1 || tally.empty() {
			t.Errorf("%v is not counted: %+v", kind, tally)
		}
		alone := newTally()
		if alone.add(&event.Event{Kind: kind}); alone.empty() || len(alone.News) != 0 {
			t.Errorf("%v alone: %+v", kind, alone)
		}
	}
}
