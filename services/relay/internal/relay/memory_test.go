package relay

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast/holdfast/pkg/appserver"
	"github.com/holdfast/holdfast/services/relay/internal/config"
)

// With every path stalled, and then gone, and everybody sending, nobody holds more than the window for each connection and
// direction: the senders wait.
func TestMemoryIsBounded(t *testing.T) {
	const (
		connections = 200
		window      = 64 << 10
		size        = 3 << 10
		// perStream is what the transport of one client stream may hold: the window of the relay's receiver, and what gRPC
		// queues at the sender, and the receiver of the other direction.
		perStream = streamWindow + 3*64<<10
	)
	change := func(c *config.Config) {
		patient(c)
		c.WindowBytes, c.MaxMessageBytes, c.ParkTime = window, 8<<10, time.Hour
	}
	onStage(t, change, func(t *testing.T, s *stage) {
		begin := make(chan struct{})
		tap, _ := s.server("app-1", appserver.HandlerFunc(func(ctx context.Context, c *appserver.Connection) error {
			<-begin
			for payload := make([]byte, size); ; {
				if err := c.Send(ctx, appserver.Message{Payload: payload}); err != nil {
					return err
				}
			}
		}), "a", "b")
		var guests []*guest
		for range connections {
			guests = append(guests, s.quietGuest("z"))
		}
		before := heap() // with the streams, which cost what they cost
		close(begin)
		ctx, stop := context.WithCancel(s.ctx)
		var senders sync.WaitGroup
		for _, g := range guests {
			senders.Go(func() {
				for m := text(strings.Repeat("x", size)); ctx.Err() == nil && g.stream.Send(m) == nil; {
				}
			})
		}
		time.Sleep(time.Second)
		releases := []func(){tap.hold("a", "in"), tap.hold("b", "in"), tap.hold("a", "out"), tap.hold("b", "out")}
		for _, moment := range []string{"with every path stalled", "with every path silent and given up"} {
			synctest.Wait()
			retained, waiting, fullest := 0, 0, 0
			for c := range s.relay.registry.Connections() {
				snap := c.Snapshot()
				retained, waiting, fullest = retained+snap.Retained, waiting+snap.Waiting, max(fullest, snap.Retained, snap.Waiting)
			}
			if retained > connections*window || waiting > connections*window || fullest > window {
				t.Errorf("%s: %d bytes are retained, %d wait, %d at most for one connection", moment, retained, waiting, fullest)
			}
			if retained < connections*window*9/10 || waiting < connections*window/2 {
				t.Errorf("%s: only %d bytes are retained and %d wait: nobody was made to wait", moment, retained, waiting)
			}
			// The app server is in this process too: both outboxes and both inboxes, and the transports of the clients.
			// Half as much again is for what gRPC's pool of buffers rounds up.
			most := uint64(connections*(4*window+perStream)) * 3 / 2
			if grown := heap() - before; grown > most {
				t.Errorf("%s: the heap grew by %d bytes, want at most %d", moment, grown, most)
			} else {
				t.Logf("%s: %d bytes retained, %d waiting, the heap grew by %d", moment, retained, waiting, grown)
			}
			time.Sleep(time.Minute)
		}
		for _, release := range releases {
			release()
		}
		stop()
		for _, g := range guests {
			g.stop()
		}
		senders.Wait()
	})
}

// heap returns the bytes of live objects.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
