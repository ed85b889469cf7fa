package relay

import (
	"context"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/appserver"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/config"
)

// connections returns how many logical connections a relay of the pair holds.
func (p *pair) connections(relay int) int {
	n := 0
	for range p.relays[relay].relay.registry.Connections() {
		n++
	}
	return n
}

// beside is a request with text and messages.
func beside(s string, messages ...*holdfastv1.ClientMessage) *holdfastv1.ConnectRequest {
	m := text(s)
	m.FirstSeq, m.Messages = 2, messages
	return m
}

// An application that goes on sending while a relay shuts down keeps the clients that have yet to move.
func TestShutdownWhileTheApplicationSends(t *testing.T) {
	ticks := appserver.HandlerFunc(func(ctx context.Context, c *appserver.Connection) error {
		for {
			if err := c.Send(ctx, appserver.Message{Payload: []byte("tick"), Text: true}); err != nil {
				return err
			}
			select {
			case <-time.After(time.Millisecond):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	})
	onPair(t, nil, ticks, func(t *testing.T, p *pair) {
		c := p.connect(0, "a")
		got := uint64(len(c.hear(10).texts))
		c.acknowledge(got)
		relay, over := p.relays[0].relay, make(chan struct{})
		ctx, cancel := context.WithCancel(p.ctx)
		cancel()
		go func() { // as in a shutdown; the server connections live on for a while
			relay.registry.Stop()
			relay.clients.Farewell(ctx, 0)
			close(over)
		}()
		<-over
		time.Sleep(100 * time.Millisecond)
		next := p.mustResume(1, "b", c.token, got, got)
		if h := next.hear(1); h.err != nil || h.first != got+1 {
			t.Errorf("from %d on, %v; want from %d", h.first, h.err, got+1)
		}
	})
}

// A client that has the application's close, and lost its stream before it could say so, is told that it is done when it comes back.
func TestResumeAfterTheClose(t *testing.T) {
	for name, consumed := range map[string]uint64{"consumed": 2, "received": 1} {
		t.Run(name, func(t *testing.T) {
			onPair(t, nil, sayBye, func(t *testing.T, p *pair) {
				c := p.connect(0, "a")
				if h := c.hear(2); h.closing == nil {
					t.Fatalf("%+v", h)
				}
				c.leave()
				synctest.Wait()
				if _, err := p.resume(1, "b", c.token, 2, consumed); err != io.EOF {
					t.Errorf("the stream ended with %v", err)
				}
				time.Sleep(time.Second)
				if a, b := p.connections(0), p.connections(1); a+b != 0 {
					t.Errorf("the relays hold %d and %d connections", a, b)
				}
			})
		})
	}
}

var sayBye = appserver.HandlerFunc(func(ctx context.Context, c *appserver.Connection) error {
	_ = c.Send(ctx, appserver.Message{Payload: []byte("bye"), Text: true})
	return nil
})

// A client that has sent its close, and lost its stream before the application took that, may come back for the receipt at the point at
// which it was.
func TestResumeAfterTheClientsClose(t *testing.T) {
	onPair(t, nil, nil, func(t *testing.T, p *pair) {
		release := make(chan struct{})
		p.appServer(appserver.HandlerFunc(func(ctx context.Context, c *appserver.Connection) error {
			for range 3 {
				if err := c.Send(ctx, appserver.Message{Payload: []byte("x"), Text: true}); err != nil {
					return err
				}
			}
			<-release
			_, err := c.Receive(ctx)
			return err
		}))
		c := p.connect(0, "a")
		wantHeard(t, c.hear(3), 1, "x", "x", "x")
		c.send(&holdfastv1.ConnectRequest{FirstSeq: 1, Messages: []*holdfastv1.ClientMessage{
			item("last"), {Content: &holdfastv1.ClientMessage_Close{Close: &holdfastv1.ClientClose{}}},
		}})
		time.Sleep(time.Second)
		c.leave()
		synctest.Wait()
		next := p.mustResume(1, "b", c.token, 2, 1)
		if w := next.welcome; w.GetReceivedSeq() != 2 {
			t.Errorf("%v", w)
		}
		close(release)
		if err := next.end(); err != io.EOF {
			t.Errorf("the stream ended with %v", err)
		}
	})
}

// A client that comes back again and again is one client, however fast it does.
func TestComingBackCountsOnce(t *testing.T) {
	onPair(t, func(c *config.Config) { c.Limits.MaxConnections = 2 }, echo, func(t *testing.T, p *pair) {
		c := p.connect(0, "a")
		for range 20 {
			c.leave()
			synctest.Wait()
			c = p.mustResume(0, "a", c.token, 0, 0)
		}
		other := p.connect(0, "b")
		other.say(1, "one")
		wantHeard(t, other.hear(1), 1, "one")
		_, err := p.call(0, "b", &holdfastv1.Hello{Resumable: true})
		wantReason(t, err, "TOO_MANY_CONNECTIONS")
	})
}

// A client that comes back has a window of messages to send: it is slowed down to the rate, and not closed for what it could not send.
func TestRateSlowsDownWhoComesBack(t *testing.T) {
	onPair(t, func(c *config.Config) { c.Limits.MessageRate = 10 }, echo, func(t *testing.T, p *pair) {
		c := p.connect(0, "a")
		c.leave()
		synctest.Wait()
		c = p.mustResume(1, "b", c.token, 0, 0)
		began, texts := time.Now(), make([]string, 50)
		for i := range texts {
			texts[i] = fmt.Sprint("message ", i)
		}
		c.say(1, texts...)
		wantHeard(t, c.hear(len(texts)), 1, texts...)
		if d := time.Since(began); d < 4*time.Second || d > 5*time.Second {
			t.Errorf("50 messages at 10 a second took %v", d)
		}
	})
}

// silent has the relays wait for an app server that the test plays, and that sends no heartbeats.
func silent(c *config.Config) { c.HeartbeatInterval = time.Minute }

// taker is an app server that the test plays, with the connection of one resumable client, which has sent nothing.
func (p *pair) taker() (*peer, *caller) {
	p.t.Helper()
	at := p.relays[0].peer(p.t, goodHandshake())
	synctest.Wait()
	confirmed := make(chan struct{})
	go func() {
		defer close(confirmed)
		open := at.open()
		at.frames(&holdfastv1.Frame{ConnectionId: open.GetConnectionId(), Epoch: open.GetEpoch(), Body: &holdfastv1.Frame_Receipt{
			Receipt: &holdfastv1.ReceiptMessage{},
		}})
	}()
	c, err := p.call(0, "a", &holdfastv1.Hello{Application: "other", Resumable: true})
	if err != nil {
		p.t.Fatal(err)
	}
	<-confirmed
	return at, c
}

// adoption waits for one.
func (p *peer) adoption() *holdfastv1.Frame {
	p.t.Helper()
	return p.await(func(f *holdfastv1.Frame) bool {
		return f.GetMigrate().GetMode() == holdfastv1.MigrateMode_MIGRATE_MODE_CLIENT
	})
}

// A client that has yet to take the application's close when its app server is lost for good takes it, and is done.
func TestCloseIsTakenAfterTheServerIsLost(t *testing.T) {
	onPair(t, silent, nil, func(t *testing.T, p *pair) {
		at, c := p.taker()
		at.frames(
			data(mustID(t, c), 1<<32|1, 1, "last"),
			&holdfastv1.Frame{ConnectionId: mustID(t, c), Epoch: 1<<32 | 1, Body: &holdfastv1.Frame_Close{
				Close: &holdfastv1.CloseConnectionMessage{Seq: 2, Reason: holdfastv1.CloseReason_CLOSE_REASON_APPLICATION_CLOSED},
			}},
		)
		if h := c.hear(2); h.closing == nil {
			t.Fatalf("%+v", h)
		}
		if err := at.stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // the park time is over
		c.acknowledge(2)
		if err := c.end(); err != io.EOF {
			t.Errorf("the stream ended with %v", err)
		}
	})
}

func mustID(t *testing.T, c *caller) uint64 {
	t.Helper()
	id, err := wire.ParseID(c.welcome.GetConnectionId())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// An app server that does not answer those who ask for a connection anew: each is told so, and nothing is left of them when the resume
// time is over.
func TestResumeThatIsNotAnswered(t *testing.T) {
	onPair(t, silent, nil, func(t *testing.T, p *pair) {
		_, c := p.taker()
		c.leave()
		synctest.Wait()
		for range 3 {
			began := time.Now()
			_, err := p.resume(0, "a", c.token, 0, 0)
			wantReason(t, err, "NO_APP_SERVER")
			if d := time.Since(began); d > 15*time.Second {
				t.Errorf("after %v", d)
			}
		}
		time.Sleep(2 * time.Minute)
		if n := p.connections(0); n != 1 { // the first one's close waits for its receipt
			t.Errorf("the relay holds %d connections", n)
		}
	})
}

// An app server that answers an adoption with what cannot be loses the connection, and the relay holds nothing for it.
func TestNonsenseForAnAdoption(t *testing.T) {
	for name, m := range map[string]*holdfastv1.MigrateConnectionWithAckMessage{
		"consumed more than it received":     {ReceivedSeq: 1, ConsumedSeq: 2},
		"a window of 4 GiB":                  {WindowBytes: 1<<32 - 1},
		"4 GiB outstanding":                  {ReceivedSeq: 9, ConsumedSeq: 1, OutstandingBytes: 1<<32 - 1, WindowBytes: 256 << 10},
		"4 GiB outstanding, and the window":  {ReceivedSeq: 9, ConsumedSeq: 1, OutstandingBytes: 1<<32 - 1, WindowBytes: 1<<32 - 1},
		"more received than can be numbered": {ReceivedSeq: 1<<64 - 1},
	} {
		t.Run(name, func(t *testing.T) {
			onPair(t, nil, nil, func(t *testing.T, p *pair) {
				at, c := p.taker()
				answered := make(chan string, 1)
				go func() {
					f := at.adoption()
					m := proto.CloneOf(m)
					at.frames(&holdfastv1.Frame{ConnectionId: f.GetConnectionId(), Epoch: f.GetEpoch(), Body: &holdfastv1.Frame_MigrateWithAck{
						MigrateWithAck: m,
					}})
					answered <- at.outcome()
				}()
				_, err := p.resume(0, "b", c.token, 0, 0)
				wantReason(t, err, "PROTOCOL_ERROR")
				if got := <-answered; got != "close PROTOCOL_ERROR" {
					t.Errorf("the app server was answered with %s", got)
				}
			})
		})
	}
}
