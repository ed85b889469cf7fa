package relay

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/appserver"
	"github.com/holdfast/holdfast/services/relay/internal/config"
)

// halfOpen attaches a peer that confirms one connection and from then on reads nothing; the client sends n bytes to it.
func (s *stage) halfOpen(n int) (*guest, *peer) {
	s.t.Helper()
	p := s.peer(s.t, changed(func(h *holdfastv1.HandshakeRequestMessage) { h.Application = "echo" }))
	if _, err := p.stream.Recv(); err != nil {
		s.t.Fatal(err)
	}
	g := s.quietGuest("c")
	open := p.open()
	p.frames(&holdfastv1.Frame{ConnectionId: open.GetConnectionId(), Epoch: open.GetEpoch(), Body: &holdfastv1.Frame_Receipt{
		Receipt: &holdfastv1.ReceiptMessage{},
	}})
	go func() {
		for range n / piece {
			if g.stream.Send(text(strings.Repeat("x", piece))) != nil {
				return
			}
		}
	}()
	synctest.Wait()
	return g, p
}

// A path whose peer is silent for three heartbeat intervals is dead, also when the stream takes nothing any more: that is
// what a half-open one looks like under traffic.
func TestSilentAppServerIsGivenUp(t *testing.T) {
	change := func(c *config.Config) { c.HeartbeatInterval, c.WindowBytes, c.ParkTime = time.Second, 16<<20, 0 }
	for _, c := range []struct {
		name  string
		bytes int
	}{
		{"idle", 0},
		{"the stream has room", 16 << 10},
		{"the stream is full", 1 << 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			onStage(t, change, func(t *testing.T, s *stage) {
				began := time.Now()
				g, p := s.halfOpen(c.bytes)
				ended := make(chan error, 1)
				go func() {
					_, err := g.stream.Recv()
					ended <- err
				}()
				select {
				case err := <-ended:
					after := time.Since(began) // parked connections are looked for every quarter of a second
					if reasonOrCode(err) != "SERVER_LOST" || after < 3*time.Second || after > 3250*time.Millisecond {
						t.Errorf("after %v the client saw %v; want SERVER_LOST after 3 s", after, err)
					}
				case <-time.After(time.Minute):
					t.Fatal("a silent path is alive after a minute")
				}
				if got := p.outcome(); got != "SILENT_PEER" {
					t.Errorf("the app server was told %s", got)
				}
				if n := s.counter("holdfast.relay.errors", "SILENT_PEER"); n != 1 {
					t.Errorf("%d silent peers are counted", n)
				}
			})
		})
	}
}

// A peer that breaks a rule of the stream loses it, also when it reads nothing.
func TestBreachEndsAFullStream(t *testing.T) {
	change := func(c *config.Config) { c.WindowBytes = 16 << 20 }
	for _, c := range []struct {
		name  string
		bytes int
	}{
		{"idle", 0},
		{"full", 1 << 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			onStage(t, change, func(t *testing.T, s *stage) {
				_, p := s.halfOpen(c.bytes)
				p.frames(&holdfastv1.Frame{ConnectionId: 1})
				time.Sleep(time.Second)
				list, err := s.admin.ListServerConnections(s.ctx, &holdfastv1.ListServerConnectionsRequest{})
				if n := len(list.GetServerConnections()); err != nil || n != 0 {
					t.Errorf("%d server connections are live, %v", n, err)
				}
			})
		})
	}
}

// An application error of any length must not take the server connection, and the others on it, along.
func TestLongApplicationError(t *testing.T) {
	for _, c := range []struct {
		name  string
		bytes int
	}{
		{"long", 10 << 10},
		{"over the message limit", 1<<20 + 1},
		{"over the limit of a gRPC message", 2 << 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			onStage(t, nil, func(t *testing.T, s *stage) {
				failing := appserver.HandlerFunc(func(ctx context.Context, conn *appserver.Connection) error {
					if _, err := conn.Receive(ctx); err != nil {
						return err
					}
					return errors.New(strings.Repeat("x", c.bytes))
				})
				s.server("app-1", byClient(failing), "a")
				g, beside := s.quietGuest("c"), s.guest("c")
				if err := g.send(); err != nil {
					t.Fatal(err)
				}
				if err := g.receive(); reasonOrCode(err) != "APPLICATION_ERROR" {
					t.Errorf("the client saw %.200v, want APPLICATION_ERROR", err)
				}
				if err := beside.exchange(3, 0); err != nil {
					t.Errorf("a client beside it saw %.200v", err)
				}
			})
		})
	}
}
