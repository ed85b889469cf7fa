package client_test

import (
	"strings"
	"testing"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/client"
)

// resumed checks that the attempt is a resume with the token and the numbers.
func resumed(t *testing.T, a attempt, token string, received, consumed uint64) {
	t.Helper()
	r := a.hello.GetResume()
	if r.GetToken() != token || r.GetReceivedSeq() != received || r.GetConsumedSeq() != consumed {
		t.Errorf("attempt %d says %v; want a resume with %s after %d, %d consumed", a.n, a.hello, token, received, consumed)
	}
}

func TestALogicalConnectionOutlivesItsStream(t *testing.T) {
	run(t, both, nil, func(t *testing.T, w *world) {
		s := w.stream(1)
		s.quiet()
		w.sent("one", "two")
		s.send(1, "eins", "zwei")
		w.receives("eins") // of which the receipt waits
		w.expect("1>1:one 1>2:two")
		w.relay.mu.Lock()
		s.logical.received = 1 // the second was lost on its way
		w.relay.mu.Unlock()
		w.home.cut()
		pass(time.Second)
		attempts := w.attemptsSoFar()
		if len(attempts) != 2 || attempts[1].ingress != w.away.name {
			t.Fatalf("the attempts were at %s; want one at %s after the first", addresses(attempts), w.away.name)
		}
		resumed(t, attempts[1], "token-1", 2, 1)
		w.expect("2>welcomed+2:two+consumed1")
		s2 := w.stream(2)
		s2.send(2, "zwei", "drei") // the app server has no receipt for the first of these
		settle()
		w.receives("zwei", "drei")
		pass(time.Second)
		w.expect("2>consumed3")
		if got := w.conn.Stats(); got != (client.Stats{Moves: 1, Duplicates: 1}) {
			t.Errorf("the statistics are %+v", got)
		}
		events := w.told()
		if _, ok := events[0].(client.Reconnecting); len(events) != 2 || !ok {
			t.Fatalf("the events are %#v", events)
		}
		want := client.Recovered{
			Address: "passthrough:///" + w.away.name, Ingress: w.away.name, Relay: "relay-" + w.away.name,
		}
		got := events[1].(client.Recovered)
		if got.Interrupted <= 0 || got.Interrupted > 250*time.Millisecond || got.Took > got.Interrupted {
			t.Errorf("recovered: %+v", got)
		}
		got.Interrupted, got.Took = 0, 0
		if got != want {
			t.Errorf("recovered: %+v, want %+v", got, want)
		}
		w.alive(s2, 3, 4)
	})
}

func TestAMessageIsAcceptedWhileNoStreamCarriesTheConnection(t *testing.T) {
	run(t, both, nil, func(t *testing.T, w *world) {
		w.home.refuse(true)
		w.away.refuse(true)
		w.home.cut()
		settle()
		if w.conn.Ingress() != "" || w.conn.Relay() != "" {
			t.Errorf("with no stream it is at %s, %s", w.conn.Ingress(), w.conn.Relay())
		}
		w.sent("one")
		pass(10 * time.Second)
		w.away.refuse(false)
		pass(10 * time.Second)
		w.expect("2>welcomed+1:one")
	})
}

// TestMakeBeforeBreak has the relay answer a resume late: meanwhile the old stream carries messages both ways, and no receipts.
func TestMakeBeforeBreak(t *testing.T) {
	answer := make(chan struct{})
	late := func(w *world, _ *client.Config) {
		w.answers(func(a attempt, welcome *holdfastv1.Welcome) (*holdfastv1.Welcome, error) {
			if a.n > 1 {
				<-answer
				w.relay.mu.Lock()
				defer w.relay.mu.Unlock()
				l := w.logicals[welcome.GetConnectionId()]
				welcome.ReceivedSeq, welcome.ConsumedSeq = l.received, l.consumed
			}
			return welcome, nil
		})
	}
	run(t, both, func(w *world, c *client.Config) { answer = make(chan struct{}); late(w, c) }, func(t *testing.T, w *world) {
		s := w.stream(1)
		s.quiet()
		s.reconnect(holdfastv1.ReconnectReason_RECONNECT_REASON_INGRESS_RELOAD, 0)
		pass(time.Second)
		if n := len(w.attemptsSoFar()); n != 2 {
			t.Fatalf("there were %d attempts, want 2", n)
		}
		w.sent("by the old one")
		w.expect("1>1:by the old one")
		s.send(1, "by the old one too")
		settle()
		w.receives("by the old one too")
		pass(time.Second)
		w.expect("") // nothing is acknowledged
		if s.isOver() {
			t.Fatal("the old stream has ended before the welcome")
		}
		if w.conn.Ingress() != w.home.name {
			t.Errorf("it is at %s", w.conn.Ingress())
		}
		close(answer)
		settle()
		if !s.isOver() {
			t.Error("the old stream goes on after the welcome")
		}
		if w.conn.Ingress() != w.away.name || w.conn.Relay() != "relay-"+w.away.name {
			t.Errorf("it is at %s, %s", w.conn.Ingress(), w.conn.Relay())
		}
		s2 := w.stream(2)
		s2.send(1, "by the old one too") // the hello was from before it
		pass(time.Second)
		w.expect("2>welcomed 2>consumed1")
		if r := w.recovered(); r.Interrupted != 0 || r.Took < 2*time.Second || r.Took > 3*time.Second {
			t.Errorf("recovered: %+v", r)
		}
		w.alive(s2, 2, 2)
	})
}

func TestTheDelayOfAReconnectIsHonoured(t *testing.T) {
	run(t, both, nil, func(t *testing.T, w *world) {
		began := time.Now()
		s := w.stream(1)
		s.reconnect(holdfastv1.ReconnectReason_RECONNECT_REASON_RELAY_SHUTDOWN, 5*time.Second)
		settle()
		s.reconnect(holdfastv1.ReconnectReason_RECONNECT_REASON_RELAY_SHUTDOWN, time.Second) // one at a time
		pass(time.Minute)
		attempts := w.attemptsSoFar()
		if len(attempts) != 2 {
			t.Fatalf("there were %d attempts, want 2", len(attempts))
		}
		if after := attempts[1].at.Sub(began); after != 5*time.Second {
			t.Errorf("the client moved after %v, want 5s", after)
		}
		if why := w.told()[0].(client.Reconnecting).Why.Error(); !strings.Contains(why, "RELAY_SHUTDOWN") {
			t.Errorf("why: %s", why)
		}
		w.expect("2>welcomed")
		w.alive(w.stream(2), 1, 1)
	})
}

func TestAStreamThatBreaksDoesNotWaitForTheDelay(t *testing.T) {
	run(t, both, nil, func(t *testing.T, w *world) {
		pass(time.Minute)
		w.stream(1).reconnect(holdfastv1.ReconnectReason_RECONNECT_REASON_INGRESS_RELOAD, time.Hour)
		settle()
		w.home.cut()
		pass(time.Second)
		if n := w.streamCount(); n != 2 {
			t.Errorf("there were %d streams, want 2", n)
		}
	})
}

func TestAReloadOfTheIngressMovesTheConnection(t *testing.T) {
	run(t, both, nil, func(t *testing.T, w *world) {
		pass(time.Minute)
		w.home.reload()
		settle()
		if s := w.stream(1); s.isOver() {
			t.Fatal("the reload ended the stream")
		}
		w.sent("on the old one")
		pass(500 * time.Millisecond)
		w.expect("1>1:on the old one 2>welcomed")
		if w.conn.Ingress() != w.away.name {
			t.Errorf("it is at %s, want %s", w.conn.Ingress(), w.away.name)
		}
		if r := w.recovered(); r.Interrupted != 0 {
			t.Errorf("recovered: %+v", r)
		}
		w.alive(w.stream(2), 2, 1)
	})
}

// TestAnotherIngressIsPreferred has three addresses of which two lead through the ingress that is reloaded.
func TestAnotherIngressIsPreferred(t *testing.T) {
	same := func(w *world, _ *client.Config) {
		w.answers(func(a attempt, welcome *holdfastv1.Welcome) (*holdfastv1.Welcome, error) {
			if a.ingress == "b" {
				welcome.Ingress = "a"
			}
			return welcome, nil
		})
	}
	run(t, []string{"a", "b", "c"}, same, func(t *testing.T, w *world) {
		for range 6 { // until each was seen
			at := w.attemptsSoFar()
			pass(time.Minute)
			w.ingresses[at[len(at)-1].ingress].reload()
			pass(time.Second)
		}
		for range 6 {
			pass(time.Minute)
			before := w.conn.Ingress()
			at := w.attemptsSoFar()
			w.ingresses[at[len(at)-1].ingress].reload()
			pass(time.Second)
			if after := w.conn.Ingress(); before == "a" && after != "c" {
				t.Errorf("it moved from ingress %s to %s", before, after)
			}
		}
		if n := w.streamCount(); n != 13 {
			t.Errorf("there were %d streams, want 13", n)
		}
	})
}

func TestALostWelcomeHasTheOldTokenShownAgain(t *testing.T) {
	lose := func(w *world, _ *client.Config) {
		w.answers(func(a attempt, welcome *holdfastv1.Welcome) (*holdfastv1.Welcome, error) {
			if a.n == 2 {
				return nil, nil // as good as lost
			}
			return welcome, nil
		})
	}
	run(t, both, lose, func(t *testing.T, w *world) {
		pass(time.Minute)
		w.sent("one")
		w.home.cut()
		pass(15 * time.Second)
		attempts := w.attemptsSoFar()
		if len(attempts) != 3 {
			t.Fatalf("the attempts were at %s", addresses(attempts))
		}
		if d := attempts[2].at.Sub(attempts[1].at); d < 10*time.Second || d > 10*time.Second+200*time.Millisecond {
			t.Errorf("the unanswered attempt took %v, want 10s", d)
		}
		resumed(t, attempts[1], "token-1", 0, 0)
		resumed(t, attempts[2], "token-1", 0, 0)
		w.expect("1>1:one 2>welcomed")
		w.alive(w.stream(2), 2, 1)
	})
}

func TestANewTokenIsShownInTheNextResume(t *testing.T) {
	run(t, both, nil, func(t *testing.T, w *world) {
		w.stream(1).renew("renewed")
		settle()
		w.home.cut()
		pass(time.Second)
		resumed(t, w.attemptsSoFar()[1], "renewed", 0, 0)
		w.away.cut()
		pass(time.Second)
		resumed(t, w.attemptsSoFar()[2], "token-2", 0, 0)
	})
}

func TestAHalfOpenStreamIsNoticed(t *testing.T) {
	run(t, both, nil, func(t *testing.T, w *world) {
		w.home.freeze()
		pass(time.Minute)
		if n := w.streamCount(); n != 2 {
			t.Fatalf("there were %d streams, want 2", n)
		}
		if r := w.recovered(); r.Ingress != w.away.name {
			t.Errorf("recovered: %+v", r)
		}
		w.home.cut() // else the server would wait for it
	})
}

// TestAnOldStreamThatTheRelayDoesNotEndIsCut: what still comes by it is dropped.
func TestAnOldStreamThatTheRelayDoesNotEndIsCut(t *testing.T) {
	run(t, both, func(w *world, _ *client.Config) { w.holds = true }, func(t *testing.T, w *world) {
		pass(time.Minute)
		began := time.Now()
		s := w.stream(1)
		s.reconnect(holdfastv1.ReconnectReason_RECONNECT_REASON_INGRESS_RELOAD, 0)
		settle()
		s.send(1, "too late")
		s2 := w.stream(2)
		s2.send(1, "in time")
		settle()
		w.receives("in time")
		for !s.isOver() {
			pass(time.Millisecond)
		}
		if d := time.Since(began); d != time.Second {
			t.Errorf("the old stream was cut after %v, want 1s", d)
		}
		w.expect("2>welcomed 2>consumed1")
		w.alive(s2, 1, 2)
	})
}

// TestAWelcomeMakesRoom: the receipt that was lost with the old stream comes in the Welcome.
func TestAWelcomeMakesRoom(t *testing.T) {
	run(t, both, func(w *world, _ *client.Config) { w.window = 200 }, func(t *testing.T, w *world) {
		s := w.stream(1)
		s.quiet()
		payload := strings.Repeat("x", 100)
		w.sent(payload)
		blocked := begin(func() error { return w.send(payload) })
		blocks(t, blocked)
		w.relay.mu.Lock()
		s.logical.consumed = 1
		w.relay.mu.Unlock()
		w.home.cut()
		pass(time.Second)
		if err := done(t, blocked); err != nil {
			t.Errorf("Send: %v", err)
		}
	})
}
