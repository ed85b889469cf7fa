package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/appserver"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/config"
)

func wantHeard(t *testing.T, h heard, first uint64, texts ...string) {
	t.Helper()
	if h.err != nil || h.first != first || !slices.Equal(h.texts, texts) {
		t.Errorf("from %d: %q, %v; want from %d: %q", h.first, h.texts, h.err, first, texts)
	}
}

func wantReason(t *testing.T, err error, want string) {
	t.Helper()
	if got := wire.ErrorReasonOf(err); got != want {
		t.Errorf("the stream ended with %q (%v), want %q", got, err, want)
	}
}

// A client comes anew, to another relay or to the same one, while its old stream lives or after it broke: it gets what it has not got,
// sends what the application has not got, and the application notices nothing.
func TestClientComesAnew(t *testing.T) {
	for _, c := range []struct {
		name  string
		relay int
		leave func(p *pair, old *caller)
	}{
		{"to another relay", 1, nil},
		{"to the same relay", 0, nil},
		{"to another relay, its stream is broken", 1, func(_ *pair, old *caller) { old.leave() }},
		{"to the same relay, its stream is broken", 0, func(_ *pair, old *caller) { old.leave() }},
		{"to another relay, as the first is gone", 1, func(p *pair, _ *caller) { p.kill(0) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var handlers atomic.Int32
			handler := appserver.HandlerFunc(func(ctx context.Context, conn *appserver.Connection) error {
				handlers.Add(1)
				return echo(ctx, conn)
			})
			onPair(t, nil, handler, func(t *testing.T, p *pair) {
				old := p.connect(0, "a")
				old.say(1, "one", "two", "three")
				wantHeard(t, old.hear(3), 1, "one", "two", "three")
				old.acknowledge(1)
				if c.leave != nil {
					c.leave(p, old)
				}
				synctest.Wait()
				next := p.mustResume(c.relay, "b", old.token, 2, 1)
				if w := next.welcome; !w.GetRecovered() || w.GetReceivedSeq() != 3 || w.GetConsumedSeq() != 3 ||
					w.GetConnectionId() != old.welcome.GetConnectionId() || w.GetRelayId() != fmt.Sprintf("relay-%d", c.relay+1) {
					t.Errorf("the welcome says %v", w)
				}
				wantHeard(t, next.hear(1), 3, "three")
				next.say(4, "four")
				wantHeard(t, next.hear(1), 4, "four")
				if c.leave == nil {
					wantReason(t, old.end(), "RESUMED_ELSEWHERE")
				}
				synctest.Wait()
				if n := handlers.Load(); n != 1 {
					t.Errorf("the application has seen %d connections", n)
				}
				at := p.relays[c.relay].relay.registry
				for conn := range at.Connections() {
					if s := conn.Snapshot(); s.Epoch.Generation() != 2 || s.Info.ClientIngress != "b" {
						t.Errorf("it stands in epoch %v, its client came in through %s", s.Epoch, s.Info.ClientIngress)
					}
				}
				for i, r := range p.relays {
					n := 0
					for range r.relay.registry.Connections() {
						n++
					}
					if want := 1 - (i+c.relay)%2; n != want && !(c.leave != nil && i == 0) {
						t.Errorf("relay %d holds %d connections, want %d", i+1, n, want)
					}
				}
			})
		})
	}
}

// Whoever has the token may come as often as the Welcome is lost. From the moment at which it was taken, an older token is a replayed one.
func TestLostWelcomeAndReplayedToken(t *testing.T) {
	onPair(t, nil, echo, func(t *testing.T, p *pair) {
		c := p.connect(0, "a")
		first := c.token
		for i := range 3 { // none of them says that it was welcomed
			next, err := p.resume(i%2, "b", first, 0, 0)
			if err != nil {
				t.Fatal(err)
			}
			c = next
		}
		c.send(&holdfastv1.ConnectRequest{Welcomed: true})
		synctest.Wait()
		for relay := range p.relays {
			_, err := p.resume(relay, "a", first, 0, 0)
			wantReason(t, err, "RESUME_TOKEN_REPLAYED")
		}
		c.say(1, "still here")
		wantHeard(t, c.hear(1), 1, "still here")
	})
}

// A client that is asked for numbers which cannot be loses its stream and nothing else.
func TestImpossibleNumbers(t *testing.T) {
	for name, c := range map[string]struct {
		send *holdfastv1.ConnectRequest
		want string
	}{
		"a gap":                       {&holdfastv1.ConnectRequest{FirstSeq: 3, Messages: []*holdfastv1.ClientMessage{item("x")}}, "IMPOSSIBLE_NUMBER"},
		"a receipt for the future":    {&holdfastv1.ConnectRequest{ConsumedSeq: 2}, "IMPOSSIBLE_NUMBER"},
		"a message without a number":  {text("x"), "UNEXPECTED_MESSAGE"},
		"a number without a message":  {&holdfastv1.ConnectRequest{FirstSeq: 2}, "UNEXPECTED_MESSAGE"},
		"text beside messages":        {beside("x", item("y")), "UNEXPECTED_MESSAGE"},
		"nothing":                     {&holdfastv1.ConnectRequest{}, "UNEXPECTED_MESSAGE"},
		"a second hello":              {&holdfastv1.ConnectRequest{Hello: &holdfastv1.Hello{Resumable: true}}, "UNEXPECTED_MESSAGE"},
		"a receipt beside the hello":  {&holdfastv1.ConnectRequest{Hello: &holdfastv1.Hello{}, ConsumedSeq: 1}, "UNEXPECTED_MESSAGE"},
		"an empty message in a batch": {&holdfastv1.ConnectRequest{FirstSeq: 2, Messages: []*holdfastv1.ClientMessage{{}}}, "UNEXPECTED_MESSAGE"},
	} {
		t.Run(name, func(t *testing.T) {
			onPair(t, nil, echo, func(t *testing.T, p *pair) {
				bad := p.connect(0, "a")
				bad.say(1, "one")
				wantHeard(t, bad.hear(1), 1, "one")
				bad.send(c.send)
				wantReason(t, bad.end(), c.want)
				if n := p.relays[0].counter("holdfast.relay.errors", c.want); n != 1 {
					t.Errorf("counted %d times", n)
				}
				good := p.mustResume(1, "b", bad.token, 1, 1)
				good.say(2, "two")
				wantHeard(t, good.hear(1), 2, "two")
			})
		})
	}
}

func TestBadResumes(t *testing.T) {
	for name, c := range map[string]struct {
		change             func(token string) string
		received, consumed uint64
		want               string
	}{
		"no token":                      {func(string) string { return "" }, 1, 1, "RESUME_TOKEN_INVALID"},
		"a forged token":                {func(s string) string { return s[:len(s)-4] + "AAAA" }, 1, 1, "RESUME_TOKEN_INVALID"},
		"a huge token":                  {func(string) string { return strings.Repeat("x", 10<<10) }, 1, 1, "RESUME_TOKEN_INVALID"},
		"received the future":           {nil, 7, 1, "IMPOSSIBLE_NUMBER"},
		"consumed what it has not":      {nil, 1, 2, "IMPOSSIBLE_NUMBER"},
		"less than it has acknowledged": {nil, 0, 0, "IMPOSSIBLE_NUMBER"},
	} {
		t.Run(name, func(t *testing.T) {
			onPair(t, nil, echo, func(t *testing.T, p *pair) {
				owner := p.connect(0, "a")
				owner.say(1, "one")
				wantHeard(t, owner.hear(1), 1, "one")
				owner.acknowledge(1)
				synctest.Wait()
				time.Sleep(time.Second) // for the receipt to go
				token := owner.token
				if c.change != nil {
					token = c.change(token)
				}
				for relay := range p.relays {
					_, err := p.resume(relay, "b", token, c.received, c.consumed)
					wantReason(t, err, c.want)
					if n := p.relays[relay].counter("holdfast.relay.errors", c.want); n != 1 {
						t.Errorf("counted %d times", n)
					}
				}
				owner.say(2, "two")
				wantHeard(t, owner.hear(1), 2, "two")
				for relay := range p.relays { // what was refused is not held against it
					owner = p.mustResume(relay, "a", owner.token, 2, 1)
				}
				owner.say(3, "three")
				wantHeard(t, owner.hear(1), 3, "three")
			})
		})
	}
}

func TestResumeTokenExpiresAndIsRenewed(t *testing.T) {
	onPair(t, func(c *config.Config) { c.ResumeTokenTime = time.Minute }, echo, func(t *testing.T, p *pair) {
		c := p.connect(0, "a")
		first := c.token
		for c.token == first {
			if h := c.hear(0); h.err != nil {
				t.Fatal(h.err)
			}
		}
		time.Sleep(31 * time.Second)
		_, err := p.resume(1, "b", first, 0, 0)
		wantReason(t, err, "RESUME_TOKEN_EXPIRED")
		next := p.mustResume(1, "b", c.token, 0, 0)
		next.say(1, "one")
		wantHeard(t, next.hear(1), 1, "one")
	})
}

// Each direction is acknowledged by whoever consumed it, and by nobody on the way.
func TestReceiptsAreEndToEnd(t *testing.T) {
	onPair(t, nil, nil, func(t *testing.T, p *pair) {
		release := make(chan struct{})
		p.appServer(appserver.HandlerFunc(func(ctx context.Context, c *appserver.Connection) error {
			if err := c.Send(ctx, appserver.Message{Payload: []byte("first"), Text: true}); err != nil {
				return err
			}
			<-release
			return echo(ctx, c)
		}))
		c := p.connect(0, "a")
		wantHeard(t, c.hear(1), 1, "first")
		c.say(1, "one", "two")
		synctest.Wait()
		time.Sleep(time.Second)
		next := p.mustResume(1, "b", c.token, 1, 0)
		if w := next.welcome; w.GetReceivedSeq() != 2 || w.GetConsumedSeq() != 0 {
			t.Errorf("the welcome says %v", w)
		}
		close(release)
		h := next.hear(2)
		wantHeard(t, h, 2, "one", "two")
		for h.consumed < 2 && h.err == nil {
			h = next.hear(0)
		}
		if h.consumed != 2 {
			t.Errorf("consumed through %d, %v", h.consumed, h.err)
		}
		again := p.mustResume(0, "a", next.token, 3, 0) // nothing was acknowledged, so that all may be asked for
		again.leave()
		all := p.mustResume(1, "a", again.token, 0, 0)
		wantHeard(t, all.hear(3), 1, "first", "one", "two")
	})
}

func TestClientThatStaysAway(t *testing.T) {
	onPair(t, nil, nil, func(t *testing.T, p *pair) {
		ended := make(chan error, 1)
		p.appServer(appserver.HandlerFunc(func(ctx context.Context, c *appserver.Connection) error {
			_, err := c.Receive(ctx)
			ended <- err
			return nil
		}))
		c := p.connect(0, "a")
		synctest.Wait()
		began := time.Now()
		c.leave()
		err := <-ended
		if closed := new(appserver.CloseError); !errors.As(err, &closed) || closed.Reason != holdfastv1.CloseReason_CLOSE_REASON_CLIENT_GONE {
			t.Errorf("the application saw %v", err)
		}
		if d := time.Since(began); d < 30*time.Second || d > 32*time.Second {
			t.Errorf("after %v", d)
		}
		synctest.Wait()
		_, err = p.resume(1, "b", c.token, 0, 0)
		wantReason(t, err, "UNKNOWN_CONNECTION")
	})
}

func TestBothWaysToClose(t *testing.T) {
	t.Run("the application", func(t *testing.T) {
		handler := appserver.HandlerFunc(func(ctx context.Context, c *appserver.Connection) error {
			_ = c.Send(ctx, appserver.Message{Payload: []byte("bye"), Text: true})
			return nil
		})
		onPair(t, nil, handler, func(t *testing.T, p *pair) {
			c := p.connect(0, "a")
			h := c.hear(2)
			if h.closing.GetReason() != holdfastv1.CloseReason_CLOSE_REASON_APPLICATION_CLOSED || h.texts[0] != "bye" {
				t.Fatalf("%+v", h)
			}
			c.leave() // the receipt is lost: it comes again
			next := p.mustResume(1, "b", c.token, 1, 1)
			if h := next.hear(1); h.closing.GetReason() != holdfastv1.CloseReason_CLOSE_REASON_APPLICATION_CLOSED || h.first != 2 {
				t.Fatalf("%+v", h)
			}
			next.acknowledge(2)
			if err := next.end(); err != io.EOF {
				t.Errorf("the stream ended with %v", err)
			}
		})
	})
	t.Run("the client", func(t *testing.T) {
		onPair(t, nil, nil, func(t *testing.T, p *pair) {
			ended := make(chan error, 1)
			p.appServer(appserver.HandlerFunc(func(ctx context.Context, c *appserver.Connection) error {
				m, err := c.Receive(ctx)
				if err == nil && string(m.Payload) == "last" {
					_, err = c.Receive(ctx)
				}
				ended <- err
				return nil
			}))
			c := p.connect(0, "a")
			c.send(&holdfastv1.ConnectRequest{FirstSeq: 1, Messages: []*holdfastv1.ClientMessage{
				item("last"), {Content: &holdfastv1.ClientMessage_Close{Close: &holdfastv1.ClientClose{Detail: "done"}}},
			}})
			h := c.hear(0)
			for h.consumed < 2 && h.err == nil {
				h = c.hear(0)
			}
			if h.consumed != 2 {
				t.Errorf("consumed through %d, %v", h.consumed, h.err)
			}
			if err := c.end(); err != io.EOF {
				t.Errorf("the stream ended with %v", err)
			}
			if err := <-ended; err == nil || !strings.Contains(err.Error(), "done") {
				t.Errorf("the application saw %v", err)
			}
		})
	})
}

// A reload asks the clients of the ingress, and no others, each in its own share of the window, and counts those that have moved.
func TestReloadAsksClients(t *testing.T) {
	onPair(t, nil, echo, func(t *testing.T, p *pair) {
		const n = 40
		var mine []*caller
		for range n {
			mine = append(mine, p.connect(0, "a"))
		}
		other := p.connect(0, "b")
		admin, cc := p.relays[0].admin()
		defer func() { _ = cc.Close() }()
		progress, err := admin.ReloadIngress(p.ctx, &holdfastv1.ReloadIngressRequest{Ingress: "a"})
		if err != nil {
			t.Fatal(err)
		}
		window := 10 * time.Second
		for _, c := range mine {
			h := c.hear(0)
			if h.reconnect.GetReason() != holdfastv1.ReconnectReason_RECONNECT_REASON_INGRESS_RELOAD {
				t.Fatalf("%+v", h)
			}
			if d := h.reconnect.GetDelay().AsDuration(); d < 0 || d > window {
				t.Errorf("a delay of %v", d)
			}
		}
		for i, c := range mine[:n-1] {
			if i%2 == 1 { // it has its welcome, and its stream here ends before the app server says that it has moved
				c.leave()
				synctest.Wait()
			}
			p.mustResume(1, "b", c.token, 0, 0)
		}
		mine[n-1].leave() // it is not there any more, and has not moved
		var last *holdfastv1.ReloadIngressResponse
		for {
			m, err := progress.Recv()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			last = m
		}
		if !last.GetSafeToReload() || last.GetClientsAsked() != n || last.GetClientsMoved() != n-1 || last.GetClosed() != 0 {
			t.Errorf("%v", last)
		}
		other.say(1, "one")
		wantHeard(t, other.hear(1), 1, "one")
	})
}

// A relay that shuts down asks its clients to move, and lets go of those that do not: another relay takes them all.
func TestShutdownAsksClients(t *testing.T) {
	onPair(t, nil, echo, func(t *testing.T, p *pair) {
		quick, slow := p.connect(0, "a"), p.connect(0, "a")
		stopped := make(chan struct{})
		go func() {
			p.relays[0].stop()
			close(stopped)
		}()
		if h := quick.hear(0); h.reconnect.GetReason() != holdfastv1.ReconnectReason_RECONNECT_REASON_RELAY_SHUTDOWN {
			t.Fatalf("%+v", h)
		}
		moved := p.mustResume(1, "b", quick.token, 0, 0)
		wantReason(t, quick.end(), "RESUMED_ELSEWHERE")
		wantReason(t, slow.end(), "RELAY_SHUTDOWN")
		<-stopped
		late := p.mustResume(1, "b", slow.token, 0, 0)
		for _, c := range []*caller{moved, late} {
			c.say(1, "one")
			wantHeard(t, c.hear(1), 1, "one")
		}
	})
}
