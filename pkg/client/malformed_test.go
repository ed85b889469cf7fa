package client_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/client"
)

// breaches are responses that a relay must not send; 3 messages were sent and none received before.
var breaches = map[string]*holdfastv1.ConnectResponse{
	"a gap":      {FirstSeq: 2, Messages: []*holdfastv1.ClientMessage{text("x")}},
	"no number":  {Messages: []*holdfastv1.ClientMessage{text("x")}},
	"no content": {FirstSeq: 1, Messages: []*holdfastv1.ClientMessage{{}}},
	"a half-close": {FirstSeq: 1, Messages: []*holdfastv1.ClientMessage{
		{Content: &holdfastv1.ClientMessage_HalfClose{HalfClose: true}},
	}},
	"a second welcome":   {Welcome: &holdfastv1.Welcome{ConnectionId: "0000000000000001", ResumeToken: "x"}},
	"an early receipt":   {ConsumedSeq: 4},
	"a number too large": {FirstSeq: 1<<64 - 1, Messages: []*holdfastv1.ClientMessage{text("x"), text("y")}},
}

func text(s string) *holdfastv1.ClientMessage {
	return &holdfastv1.ClientMessage{Content: &holdfastv1.ClientMessage_Text{Text: s}}
}

func TestABreachOfTheRelayIsForgivenOnce(t *testing.T) {
	for name, breach := range breaches {
		t.Run(name, func(t *testing.T) {
			run(t, both, nil, func(t *testing.T, w *world) {
				w.sent("one", "two", "three")
				w.stream(1).respond(breach)
				pass(time.Second)
				s := w.stream(2)
				if !w.stream(1).isOver() {
					t.Error("the stream of the breach goes on")
				}
				s.respond(breach)
				pass(time.Second)
				if why := w.lost(client.ReasonProtocolError); why.Detail == "" {
					t.Error("there is no detail")
				}
				if n := w.streamCount(); n != 2 {
					t.Errorf("there were %d streams, want 2", n)
				}
			})
		})
	}
}

func TestTheRelayPassesTheWindow(t *testing.T) {
	run(t, both, nil, func(t *testing.T, w *world) {
		half := strings.Repeat("x", 40<<10)
		for n := 1; n <= 2; n++ {
			w.stream(n).send(1, half, half)
			pass(time.Second)
		}
		w.receives(half) // the first one was within the window
		w.lost(client.ReasonProtocolError)
	})
}

func TestABreachIsForgivenAgainAfterProgress(t *testing.T) {
	run(t, both, nil, func(t *testing.T, w *world) {
		for n := 1; n <= 5; n++ {
			s := w.stream(n)
			s.send(uint64(n), "progress")
			settle()
			w.receives("progress")
			s.send(uint64(n)+5, "a gap")
			pass(10 * time.Second)
		}
		if n := w.streamCount(); n != 6 {
			t.Errorf("there were %d streams, want 6", n)
		}
		w.stream(6).send(9, "a gap")
		pass(time.Second)
		w.lost(client.ReasonProtocolError)
	})
}

// TestWhatCameBeforeABreachIsKept: the messages of the response that breaks the rule, too.
func TestWhatCameBeforeABreachIsKept(t *testing.T) {
	run(t, both, nil, func(t *testing.T, w *world) {
		receiving := begin(w.receive)
		settle()
		w.stream(1).respond(&holdfastv1.ConnectResponse{FirstSeq: 1, Messages: []*holdfastv1.ClientMessage{text("kept"), {}}})
		if r := done(t, receiving); r.payload != "kept" {
			t.Errorf("received %v", r)
		}
		pass(time.Second)
		resumed(t, w.attemptsSoFar()[1], "token-1", 1, 1)
	})
}

// welcomes are changes to the answer of a resume that make it one that cannot be; one message was sent, and it is acknowledged.
var welcomes = map[string]func(*holdfastv1.Welcome){
	"received what was never sent":       func(m *holdfastv1.Welcome) { m.ReceivedSeq = 2 },
	"received less than it acknowledged": func(m *holdfastv1.Welcome) { m.ReceivedSeq, m.ConsumedSeq = 0, 0 },
	"consumed what it has not received":  func(m *holdfastv1.Welcome) { m.ConsumedSeq = 2 },
	"not recovered":                      func(m *holdfastv1.Welcome) { m.Recovered = false },
	"another connection":                 func(m *holdfastv1.Welcome) { m.ConnectionId = "00000000000000ff" },
	"no token":                           func(m *holdfastv1.Welcome) { m.ResumeToken = "" },
	"no window":                          func(m *holdfastv1.Welcome) { m.WindowBytes = 0 },
	"a window that is too large":         func(m *holdfastv1.Welcome) { m.WindowBytes = 1<<30 + 1 },
	"no message limit":                   func(m *holdfastv1.Welcome) { m.MaxMessageBytes = 0 },
}

func TestAWelcomeThatCannotBeIsForgivenOnce(t *testing.T) {
	for name, change := range welcomes {
		for _, times := range []int{1, 2} {
			t.Run(name, func(t *testing.T) {
				run(t, both, nil, func(t *testing.T, w *world) {
					w.sent("one")
					settle()
					w.expect("1>1:one")
					w.answers(func(a attempt, m *holdfastv1.Welcome) (*holdfastv1.Welcome, error) {
						if a.n > 1+times {
							return m, nil
						}
						bad := proto.CloneOf(m)
						bad.ResumeToken = "token-1" // the client is to show the one that it has
						change(bad)
						return bad, nil
					})
					w.home.cut()
					pass(10 * time.Second)
					if times == 2 {
						w.lost(client.ReasonProtocolError)
						return
					}
					w.expect("3>welcomed")
					w.alive(w.stream(3), 2, 1)
				})
			})
		}
	}
}

func TestAFirstWelcomeThatCannotBe(t *testing.T) {
	for name, change := range map[string]func(*holdfastv1.Welcome){
		"recovered": func(m *holdfastv1.Welcome) { m.Recovered = true },
		"received":  func(m *holdfastv1.Welcome) { m.ReceivedSeq = 1 },
		"no token":  func(m *holdfastv1.Welcome) { m.ResumeToken = "" },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, both, nil, func(t *testing.T, w *world) {
				w.answers(func(_ attempt, m *holdfastv1.Welcome) (*holdfastv1.Welcome, error) {
					change(m)
					return m, nil
				})
				_, err := client.Dial(t.Context(), w.config)
				isClosed(t, err, client.ReasonProtocolError)
				if n := len(w.attemptsSoFar()); n != 2 {
					t.Errorf("there were %d attempts, want 2", n)
				}
			})
		})
	}
}

func TestMessagesBeforeTheWelcome(t *testing.T) {
	for name, change := range map[string]func(*holdfastv1.ConnectResponse){
		"in its place": func(m *holdfastv1.ConnectResponse) { m.Welcome = nil },
		"beside it":    func(*holdfastv1.ConnectResponse) {},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, both, nil, func(t *testing.T, w *world) {
				w.greets(func(m *holdfastv1.ConnectResponse) {
					m.FirstSeq, m.Messages = 1, []*holdfastv1.ClientMessage{text("early")}
					change(m)
				})
				w.home.cut()
				pass(10 * time.Second)
				w.lost(client.ReasonProtocolError)
			})
		})
	}
}
