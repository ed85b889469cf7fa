package clients_test

import (
	"errors"
	"io"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/holdfast/holdfast/pkg/verify"
)

// A verdict that cannot fail proves nothing.
func TestVerdict(t *testing.T) {
	sound := verify.Stopped{Counted: 2, Received: 3}
	for _, c := range []struct {
		name    string
		echoes  []uint64
		counts  []uint64
		stopped verify.Stopped
		other   int
		wrong   bool
	}{
		{"sound", []uint64{1, 2}, []uint64{1, 2}, sound, 0, false},
		{"an echo is lost", []uint64{1}, []uint64{1, 2}, sound, 0, true},
		{"an echo came twice", []uint64{1, 2, 2}, []uint64{1, 2}, sound, 0, true},
		{"echoes changed places", []uint64{2, 1}, []uint64{1, 2}, sound, 0, true},
		{"a count is lost", []uint64{1, 2}, []uint64{2}, sound, 0, true},
		{"a count more than there are", []uint64{1, 2}, []uint64{1, 2, 3}, sound, 0, true},
		{"lost on the way up", []uint64{1, 2}, []uint64{1, 2}, verify.Stopped{Counted: 2, Received: 3, Tally: verify.Tally{Lost: 1}}, 0, true},
		{"a handler that began late", []uint64{1, 2}, []uint64{1, 2}, verify.Stopped{Counted: 2, Received: 2}, 0, true},
		{"another text", []uint64{1, 2}, []uint64{1, 2}, sound, 1, true},
	} {
		echoes, counts := verify.NewJudge(1), &verify.Sequence{}
		for _, n := range c.echoes {
			echoes.Sequence.Saw(n)
		}
		for _, n := range c.counts {
			counts.Saw(n)
		}
		if got := verdict(2, echoes, counts, c.stopped, c.other); len(got) > 0 != c.wrong {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}

// Every end of a plain client has to have been caused.
func TestEndsHaveCauses(t *testing.T) {
	at := time.Now()
	caused := newCauses()
	caused.kills["one"], caused.shutdowns["two"], caused.reloads["a"] = []time.Time{at}, []time.Time{at}, []time.Time{at}
	told := websocket.CloseError{Code: websocket.StatusGoingAway, Reason: "RELAY_SHUTDOWN: the relay is shutting down"}
	alone := websocket.CloseError{Code: 4110, Reason: "NO_APP_SERVER: no app server is attached at the moment"}
	lost := websocket.CloseError{Code: 4003, Reason: "SERVER_LOST: the app server is lost"}
	for _, c := range []struct {
		name           string
		ingress, relay string
		after          time.Duration
		cut            bool
		err            error
		want           string // empty: nobody caused it
	}{
		{"stopped", "a", "one", time.Minute, false, nil, endStopped},
		{"cut", "b", "three", 0, true, io.EOF, endCut},
		{"told", "b", "two", time.Second, false, told, endShutdown},
		{"told by a relay that did not shut down", "b", "one", time.Second, false, told, ""},
		{"nobody behind a relay that was killed", "b", "one", time.Second, false, alone, endAlone},
		{"nobody behind one that was not", "b", "three", time.Second, false, alone, ""},
		{"told too late", "b", "two", time.Minute, false, told, ""},
		{"told something else", "b", "two", time.Second, false, lost, ""},
		{"gone before it could read that", "b", "two", shutdownGrace, false, io.EOF, endUnread},
		{"killed", "b", "one", time.Second, false, io.EOF, endKilled},
		{"another relay was killed", "b", "two", time.Second, false, io.EOF, ""},
		{"reloaded", "a", "two", streamGrace, false, io.EOF, endReloaded},
		{"before the grace was over", "a", "two", streamGrace - time.Second, false, io.EOF, ""},
		{"another ingress was reloaded", "b", "two", streamGrace, false, io.EOF, ""},
	} {
		s := &session{ingress: c.ingress, relay: c.relay, began: at.Add(-time.Minute), over: at.Add(c.after), err: c.err}
		s.cut.Store(c.cut)
		switch got, err := caused.why(s); {
		case c.want == "" && !errors.Is(err, errNoCause):
			t.Errorf("%s: got %q, %v; want that it has no cause", c.name, got, err)
		case c.want != "" && (got != c.want || err != nil):
			t.Errorf("%s: got %q, %v; want %q", c.name, got, err, c.want)
		}
	}
	late := &session{ingress: "b", relay: "one", began: at.Add(relayAway), over: at.Add(relayAway + time.Second), err: io.EOF}
	if got, err := caused.why(late); !errors.Is(err, errNoCause) {
		t.Errorf("a session that began when its relay was there again: got %q, %v", got, err)
	}
}

func TestCausesOfMoves(t *testing.T) {
	all := map[string]int{}
	for _, cause := range expected {
		all[cause] = 1
	}
	if got := wrongCauses(all); len(got) > 0 {
		t.Errorf("nothing is wrong, but got %q", got)
	}
	for _, cause := range slices.Sorted(maps.Keys(all)) {
		fewer := maps.Clone(all)
		delete(fewer, cause)
		if got := wrongCauses(fewer); len(got) != 1 {
			t.Errorf("without %q: got %q, want one problem", cause, got)
		}
	}
	all["PROTOCOL_ERROR"] = 1
	if got := wrongCauses(all); len(got) != 1 {
		t.Errorf("with a cause that nobody gave: got %q, want one problem", got)
	}
}
