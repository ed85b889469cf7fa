package relay

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/appserver"
	"github.com/holdfast/holdfast/services/relay/internal/config"
)

// livePeer is a peer whose frames are gathered in the background.
type livePeer struct {
	*peer
	mu    sync.Mutex
	got   []*holdfastv1.Frame
	react func(*livePeer, *holdfastv1.Frame)
	over  chan struct{}
}

func (s *stage) livePeer(server, instance string, nonce uint64, react func(*livePeer, *holdfastv1.Frame)) *livePeer {
	s.t.Helper()
	h := goodHandshake()
	h.ServerId, h.InstanceId, h.ProcessNonce = server, instance, nonce
	return s.livePeerThrough("", h, react)
}

func (s *stage) livePeerThrough(ingress string, h *holdfastv1.HandshakeRequestMessage, react func(*livePeer, *holdfastv1.Frame)) *livePeer {
	s.t.Helper()
	cc := s.conn(s.application, ingress)
	s.t.Cleanup(func() { _ = cc.Close() })
	stream, err := holdfastv1.NewServerConnectionServiceClient(cc).Attach(s.ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	p := &livePeer{peer: &peer{s.t, stream}, react: react, over: make(chan struct{})}
	p.send(&holdfastv1.AttachRequest{Handshake: h})
	go func() {
		defer close(p.over)
		for {
			m, err := p.stream.Recv()
			if err != nil {
				return
			}
			if m.GetPing() != nil && !m.GetPing().GetAnswer() {
				_ = p.stream.Send(&holdfastv1.AttachRequest{Ping: &holdfastv1.PingMessage{Nonce: m.GetPing().GetNonce(), Answer: true}})
			}
			for _, f := range m.GetFrames() {
				f = proto.Clone(f).(*holdfastv1.Frame)
				p.mu.Lock()
				p.got = append(p.got, f)
				p.mu.Unlock()
				if p.react != nil {
					p.react(p, f)
				}
			}
		}
	}()
	synctest.Wait()
	return p
}

// confirms answers each Open.
func confirms(p *livePeer, f *holdfastv1.Frame) {
	if f.GetOpen() != nil {
		p.frames(&holdfastv1.Frame{ConnectionId: f.GetConnectionId(), Epoch: f.GetEpoch(), Body: &holdfastv1.Frame_Receipt{
			Receipt: &holdfastv1.ReceiptMessage{},
		}})
	}
}

// answers confirms, and answers each resume, with that many messages received, after the time.
func answers(received uint64, after time.Duration) func(*livePeer, *holdfastv1.Frame) {
	return func(p *livePeer, f *holdfastv1.Frame) {
		confirms(p, f)
		if f.GetMigrate().GetMode() == holdfastv1.MigrateMode_MIGRATE_MODE_RESUME {
			time.Sleep(after)
			p.frames(withAck(f, received))
		}
	}
}

func (p *livePeer) find(what string) *holdfastv1.Frame {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.got {
		if strings.HasPrefix(describe(f), what) {
			return f
		}
	}
	return nil
}

func (p *livePeer) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var b strings.Builder
	for _, f := range p.got {
		fmt.Fprintf(&b, "%s ", describe(f))
	}
	return b.String()
}

// visitor connects a client of the peers' application.
func (s *stage) visitor() holdfastv1.ClientConnectionService_ConnectClient {
	s.t.Helper()
	cc := s.conn(s.application, "c")
	s.t.Cleanup(func() { _ = cc.Close() })
	client, err := holdfastv1.NewClientConnectionServiceClient(cc).Connect(s.ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := client.Send(hello("other")); err != nil {
		s.t.Fatal(err)
	}
	synctest.Wait()
	return client
}

// A receipt that was owed when the path was lost, and was the first, is said after the resume. Otherwise a sender that waits
// for room waits for ever.
func TestFirstReceiptIsOwedWhenThePathIsLost(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		w := s.wiredServer("app-1", appserver.HandlerFunc(func(ctx context.Context, c *appserver.Connection) error {
			for _, size := range []int{100 << 10, 200 << 10} { // the window is 256 KiB
				if err := c.Send(ctx, appserver.Message{Payload: make([]byte, size)}); err != nil {
					return err
				}
			}
			<-ctx.Done()
			return nil
		}), "a")
		g := s.quietGuest("c")
		w.cut("a") // before the receipt delay of 20 ms
		var took atomic.Int32
		go func() {
			for {
				if _, err := g.stream.Recv(); err != nil {
					return
				}
				took.Add(1)
			}
		}()
		time.Sleep(5 * time.Minute)
		if took.Load() != 2 {
			c := s.see(g)
			t.Errorf("the client got %d of 2 messages in five minutes; the connection is %v", took.Load(), c)
		}
	})
}

// An app server that comes back as another process under the same instance_id knows nothing of the connection.
func TestAnotherProcessUnderTheSameInstanceID(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		p := s.livePeer("peer", "peer-1", 7, confirms)
		client := s.visitor()
		if _, err := client.Recv(); err != nil {
			t.Fatal(err)
		}
		_ = p.stream.CloseSend()
		<-p.over
		lost := time.Now()
		other := s.livePeer("peer", "peer-1", 8, func(p *livePeer, f *holdfastv1.Frame) {
			if f.GetMigrate() != nil {
				p.frames(&holdfastv1.Frame{ConnectionId: f.GetConnectionId(), Epoch: f.GetEpoch(), Body: &holdfastv1.Frame_Close{
					Close: &holdfastv1.CloseConnectionMessage{Reason: holdfastv1.CloseReason_CLOSE_REASON_UNKNOWN_CONNECTION},
				}})
			}
		})
		_, err := client.Recv()
		if took := time.Since(lost); reasonOrCode(err) != "SERVER_LOST" || took > 2*time.Second {
			t.Errorf("the client was told %v after %v; the new process was sent: %s", err, took, other.log())
		}
	})
}

// The target of a handoff is lost. The previous one drains by the word of its app server, but it is the only one there is.
func TestPreviousThatDrainsIsEndedUnderAParkedConnection(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		previous := s.livePeer("peer", "peer-1", 7, answers(0, 0))
		s.visitor()
		target := s.livePeer("peer", "peer-1", 7, nil)
		previous.send(&holdfastv1.AttachRequest{Draining: &holdfastv1.DrainingMessage{Detail: "soon"}})
		if target.find("migrate") == nil {
			t.Fatalf("no handoff: %s", target.log())
		}
		_ = target.stream.CloseSend()
		<-target.over
		time.Sleep(time.Second)
		select {
		case <-previous.over:
			t.Error("the relay ended the last server connection of the app server while a connection waits for one")
		default:
		}
		if previous.find("resume") == nil {
			t.Errorf("it is not resumed on the previous path: %s", previous.log())
		}
	})
}

// Connections whose app server is there and answers are not given up because it takes long until it is their turn.
func TestGivenUpBeforeTheirTurn(t *testing.T) {
	change := func(c *config.Config) { c.MaxMovesInFlight, c.ParkTime = 1, 0 }
	onStage(t, change, func(t *testing.T, s *stage) {
		slow := answers(0, time.Second)
		p := s.livePeer("peer", "peer-1", 7, slow)
		for range 10 {
			s.visitor()
		}
		s.livePeer("peer", "peer-1", 7, slow)
		_ = p.stream.CloseSend()
		<-p.over
		time.Sleep(30 * time.Second)
		if n := s.counter("holdfast.relay.connections.closed", "SERVER_LOST"); n != 0 {
			t.Errorf("%d connections were closed; every resume was answered after a second (%d resumed, %d timed out)", n,
				s.counter("holdfast.relay.moves", "resumed"), s.counter("holdfast.relay.moves", "timed_out"))
		}
	})
}

// An app server that does not answer holds up, and has closed, connections of another one that does.
func TestOneThatDoesNotAnswerStarvesAnother(t *testing.T) {
	change := func(c *config.Config) { c.MaxMovesInFlight = 2 }
	onStage(t, change, func(t *testing.T, s *stage) {
		mute := s.livePeer("mute", "mute-1", 1, confirms)
		for range 30 {
			s.visitor()
		}
		s.livePeer("mute", "mute-1", 1, nil)
		w := s.livePeer("well", "well-1", 2, answers(0, 0))
		for range 5 {
			s.visitor()
		}
		s.livePeer("well", "well-1", 2, answers(0, 0))
		_ = mute.stream.CloseSend()
		<-mute.over
		synctest.Wait()
		_ = w.stream.CloseSend()
		<-w.over
		time.Sleep(20 * time.Second)
		for c := range s.relay.registry.Connections() {
			if snap := c.Snapshot(); c.Instance.ServerID == "well" && snap.Handoff.String() == "Parked" {
				t.Errorf("a connection of the app server that answers is parked after 20 s")
			}
		}
	})
}

// Two processes of one server_id were attached all the time. That one of them dials anew does not make it the successor of
// the other.
func TestSiblingProcessIsTakenForTheSuccessor(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		one := s.livePeer("host", "one", 1, answers(0, 0))
		s.visitor()
		s.livePeer("host", "two", 2, confirms)
		time.Sleep(time.Second)
		_ = one.stream.CloseSend()
		<-one.over
		s.livePeer("host", "two", 2, confirms) // a second server connection of the other process
		time.Sleep(100 * time.Millisecond)
		s.livePeer("host", "one", 1, answers(0, 0))
		time.Sleep(time.Second)
		if n := s.counter("holdfast.relay.connections.closed", "SERVER_LOST"); n != 0 {
			t.Errorf("%d connections were closed; their process came back after 100 ms", n)
		}
	})
}

// A client that takes nothing is closed, also when the application has closed and its app server is lost.
func TestSlowClientOfAConnectionThatHasEnded(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		p := s.livePeer("peer", "peer-1", 7, confirms)
		client := s.visitor()
		open := p.find("open")
		// The transport takes the first, whatever the client does.
		p.frames(data(open.GetConnectionId(), open.GetEpoch(), 1, strings.Repeat("x", 1<<20)))
		synctest.Wait()
		time.Sleep(time.Second)
		p.frames(data(open.GetConnectionId(), open.GetEpoch(), 2, "x"), &holdfastv1.Frame{
			ConnectionId: open.GetConnectionId(), Epoch: open.GetEpoch(), Body: &holdfastv1.Frame_Close{Close: &holdfastv1.CloseConnectionMessage{
				Seq: 3, Reason: holdfastv1.CloseReason_CLOSE_REASON_APPLICATION_CLOSED,
			}},
		})
		synctest.Wait()
		p.frames(&holdfastv1.Frame{ // the app server lets go of it
			ConnectionId: open.GetConnectionId(), Epoch: open.GetEpoch(), Body: &holdfastv1.Frame_Close{Close: &holdfastv1.CloseConnectionMessage{
				Reason: holdfastv1.CloseReason_CLOSE_REASON_UNKNOWN_CONNECTION,
			}},
		})
		time.Sleep(5 * time.Minute)
		var err error
		for err == nil {
			_, err = client.Recv()
		}
		if reasonOrCode(err) != "SLOW_CONSUMER" {
			t.Errorf("a client that took nothing for five minutes saw %v", err)
		}
	})
}

// A connection on a draining path that works is not moved again and again to a path that does not answer: each try stops its
// traffic for the migration timeout.
func TestMovedAgainAndAgainToAPathThatDoesNotAnswer(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		s.livePeerThrough("a", goodHandshake(), answers(0, 0))
		s.visitor()
		target := s.livePeerThrough("b", goodHandshake(), nil)
		s.startReload("a", time.Minute)
		time.Sleep(14 * time.Second) // nothing is heard from the target in that time
		if tries := strings.Count(target.log(), "migrate"); tries > 1 {
			t.Errorf("%d handoffs to it were tried in 14 s: %s", tries, target.log())
		}
	})
}

// Paths that break one after the other before they answer say nothing of the app server: the connection is kept for as long as
// new ones come.
func TestPathsThatBreakBeforeTheyAnswer(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		p := s.livePeer("peer", "peer-1", 7, confirms)
		s.visitor()
		for range 20 { // 80 s, more than the park time
			next := s.livePeer("peer", "peer-1", 7, nil)
			_ = p.stream.CloseSend()
			<-p.over
			time.Sleep(4 * time.Second) // less than the migration timeout
			p = next
		}
		s.livePeer("peer", "peer-1", 7, answers(0, 0))
		_ = p.stream.CloseSend()
		<-p.over
		time.Sleep(time.Second)
		if closed, resumed := s.counter("holdfast.relay.connections.closed", "SERVER_LOST"), s.counter("holdfast.relay.moves", "resumed"); closed != 0 || resumed != 1 {
			t.Errorf("%d connections were closed and %d resumed", closed, resumed)
		}
	})
}
