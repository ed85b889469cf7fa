package client_test

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast/holdfast/pkg/client"
)

// shared runs a test in a bubble, with a relay behind one ingress or more and a Dialer with two streams a transport.
func shared(t *testing.T, ingresses []string, test func(t *testing.T, w *world)) {
	bubble(t, ingresses, func(w *world, c *client.Config) {
		dialer, err := client.NewDialer(2, c.DialOptions...)
		if err != nil {
			t.Fatal(err)
		}
		c.Dialer, c.DialOptions, c.Events = dialer, nil, nil
	}, test)
}

func (w *world) has(name string, open, total int) {
	w.t.Helper()
	if o, n := w.ingresses[name].transports(); o != open || n != total {
		w.t.Errorf("ingress %s has %d transports open of %d; want %d of %d", name, o, n, open, total)
	}
}

func closed(t *testing.T, connections ...*client.Connection) {
	t.Helper()
	for _, c := range connections {
		if err := c.Close(t.Context()); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

func TestConnectionsShareTransports(t *testing.T) {
	shared(t, []string{"a"}, func(t *testing.T, w *world) {
		var all []*client.Connection
		for range 5 {
			all = append(all, w.dialled())
		}
		w.has("a", 3, 3)
		closed(t, all[0])
		w.has("a", 3, 3)
		all[0] = w.dialled() // in the room that became free
		w.has("a", 3, 3)
		closed(t, all[0], all[1], all[4])
		w.has("a", 1, 3)
		closed(t, all[2], all[3])
		w.has("a", 0, 3)
	})
}

// TestConnectionsThatDialAtOnceShareTransports: also the one that is being dialled.
func TestConnectionsThatDialAtOnceShareTransports(t *testing.T) {
	shared(t, []string{"a"}, func(t *testing.T, w *world) {
		var dialling []<-chan *client.Connection
		for range 6 {
			dialling = append(dialling, begin(w.dialled))
		}
		for _, d := range dialling {
			defer closed(t, done(t, d))
		}
		w.has("a", 3, 3)
	})
}

func TestATransportThatIsAboutToGoIsRetired(t *testing.T) {
	shared(t, []string{"a"}, func(t *testing.T, w *world) {
		one, two, three := w.dialled(), w.dialled(), w.dialled()
		pass(time.Minute)
		w.ingresses["a"].reload()
		settle()
		w.has("a", 2, 2) // until its streams have ended
		four := w.dialled()
		w.has("a", 3, 3) // not on the second, which has room
		pass(time.Second)
		if n := w.streamCount(); n != 7 {
			t.Errorf("there were %d streams, want 4 and 3 that moved", n)
		}
		w.has("a", 2, 4)
		for _, c := range []*client.Connection{one, two, three} {
			if s := c.Stats(); s.Moves != 1 {
				t.Errorf("a connection moved %d times", s.Moves)
			}
		}
		closed(t, one, two, three, four)
		w.has("a", 0, 4)
	})
}

func TestAStreamThatBreaksLeavesTheOthersOnItsTransport(t *testing.T) {
	shared(t, []string{"a"}, func(t *testing.T, w *world) {
		one, two := w.dialled(), w.dialled()
		w.stream(1).finish(status.Error(codes.Internal, "broken"))
		pass(time.Second)
		if two.Stats().Moves != 0 || one.Stats().Moves != 1 {
			t.Errorf("they moved %d and %d times", one.Stats().Moves, two.Stats().Moves)
		}
		w.has("a", 2, 2) // what broke once takes nothing new
		closed(t, one, two)
		w.has("a", 0, 2)
	})
}

func TestATransportThatCannotBeDialledIsLetGoOf(t *testing.T) {
	shared(t, []string{"a"}, func(t *testing.T, w *world) {
		w.ingresses["a"].refuse(true)
		dialling := begin(w.dialled)
		pass(time.Minute)
		w.ingresses["a"].refuse(false)
		pass(10 * time.Second)
		w.has("a", 1, 1)
		closed(t, done(t, dialling))
		w.has("a", 0, 1)
	})
}

func TestADialerIsBounded(t *testing.T) {
	const most = client.MaxStreamsPerTransport
	for n, good := range map[int]bool{-1: false, 0: false, 1: true, most: true, most + 1: false} {
		if _, err := client.NewDialer(n); (err == nil) != good {
			t.Errorf("%d streams a transport: %v", n, err)
		}
	}
}
