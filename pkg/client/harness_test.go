package client_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/holdfast/holdfast/pkg/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// settle lets everything happen that needs no time to pass.
func settle() { synctest.Wait() }

// pass lets time pass.
func pass(d time.Duration) {
	time.Sleep(d)
	settle()
}

// world is a relay and a client that is connected to it, in a bubble with a clock of its own.
type world struct {
	*relay
	t      *testing.T
	config client.Config
	conn   *client.Connection
	// home is the ingress that the client came in through first, away another one.
	home, away *ingress

	mu     sync.Mutex
	events []client.Event // under mu
}

// setup changes a world before its client dials.
type setup func(*world, *client.Config)

// bubble runs a test in a bubble, with a relay behind the ingresses. When the test is over the bubble waits for every goroutine and
// fails when one is left.
func bubble(t *testing.T, ingresses []string, change setup, test func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ingresses, change)
		defer w.relay.stop()
		test(t, w)
	})
}

// run is bubble with a client that may come in through each of the ingresses. When the test is over the client closes.
func run(t *testing.T, ingresses []string, change setup, test func(t *testing.T, w *world)) {
	bubble(t, ingresses, change, func(t *testing.T, w *world) {
		w.conn = w.dialled()
		for _, name := range ingresses {
			if i := w.ingresses[name]; name == w.conn.Ingress() {
				w.home = i
			} else {
				w.away = i
			}
		}
		w.expect("1>welcomed")
		test(t, w)
		w.conn.Close(ended())
	})
}

// ended returns a context that has ended.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func newWorld(t *testing.T, ingresses []string, change setup) *world {
	w := &world{relay: newRelay(t, ingresses...), t: t}
	w.config = client.Config{
		Application: "test", Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), DialOptions: w.options(),
		Events: func(e client.Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e)
		},
	}
	for _, name := range ingresses {
		w.config.Addresses = append(w.config.Addresses, "passthrough:///"+name)
	}
	if change != nil {
		change(w, &w.config)
	}
	return w
}

// options lead to the ingresses.
func (w *world) options() []grpc.DialOption {
	return []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(w.dial)}
}

// dialled returns a connection, which has to be there.
func (w *world) dialled() *client.Connection {
	w.t.Helper()
	conn, err := client.Dial(w.t.Context(), w.config)
	if err != nil {
		w.t.Fatal(err)
	}
	return conn
}

// told returns the events since the last time.
func (w *world) told() []client.Event {
	settle()
	w.mu.Lock()
	defer w.mu.Unlock()
	events := w.events
	w.events = nil
	return events
}

// recovered returns the last event, which must be that the connection has recovered.
func (w *world) recovered() client.Recovered {
	w.t.Helper()
	events := w.told()
	if len(events) == 0 {
		w.t.Fatal("there was no event; want Recovered")
	}
	r, ok := events[len(events)-1].(client.Recovered)
	if !ok {
		w.t.Fatalf("the last event is %#v; want Recovered", events[len(events)-1])
	}
	return r
}

// sent sends messages, which must be accepted at once.
func (w *world) sent(payloads ...string) {
	w.t.Helper()
	for _, p := range payloads {
		if err := done(w.t, begin(func() error { return w.send(p) })); err != nil {
			w.t.Fatalf("sending %q: %v", p, err)
		}
	}
}

func (w *world) send(payload string) error {
	return w.conn.Send(context.Background(), client.Message{Payload: []byte(payload), Text: true})
}

// received is what Receive returned.
type received struct {
	err     error
	payload string
}

func (w *world) receive() received {
	m, err := w.conn.Receive(context.Background())
	return received{err, string(m.Payload)}
}

// receives checks that the next messages are these, and wait already.
func (w *world) receives(payloads ...string) {
	w.t.Helper()
	for _, want := range payloads {
		if got := done(w.t, begin(w.receive)); got.payload != want || got.err != nil {
			w.t.Fatalf("received %q, %v; want %q", got.payload, got.err, want)
		}
	}
}

// lost checks that the connection has ended for the reason: for Receive, for Send, and in the last event.
func (w *world) lost(reason client.Reason) *client.CloseError {
	w.t.Helper()
	why := isClosed(w.t, done(w.t, begin(w.receive)).err, reason)
	isClosed(w.t, done(w.t, begin(func() error { return w.send("late") })), reason)
	events := w.told()
	if len(events) == 0 || events[len(events)-1] != (client.Lost{Err: why}) {
		w.t.Errorf("the events are %v; want Lost at the end", events)
	}
	select {
	case <-w.conn.Done():
	default:
		w.t.Error("the connection is lost and not let go of")
	}
	return why
}

func isClosed(t *testing.T, err error, reason client.Reason) *client.CloseError {
	t.Helper()
	why := new(client.CloseError)
	if !errors.As(err, &why) || why.Reason != reason {
		t.Fatalf("got %v, want a CloseError with %v", err, reason)
	}
	return why
}

// alive checks that messages go both ways via the stream; in and out are the next numbers.
func (w *world) alive(s *stream, out, in uint64) {
	w.t.Helper()
	w.sent("ping")
	w.expect(s.name + ">" + describe(message(out, "ping")))
	s.send(in, "pong")
	settle()
	w.receives("pong")
	pass(time.Second)
	w.expect(s.name + ">consumed" + decimal(in))
}

// begin runs f beside the test.
func begin[T any](f func() T) <-chan T {
	result := make(chan T, 1)
	go func() { result <- f() }()
	return result
}

// done returns the result, which must be there without any time passing.
func done[T any](t *testing.T, result <-chan T) T {
	t.Helper()
	settle()
	select {
	case v := <-result:
		return v
	default:
		t.Fatal("it blocks")
		panic("unreachable")
	}
}

// blocks checks that there is no result yet, and none in a while.
func blocks[T any](t *testing.T, result <-chan T) {
	t.Helper()
	pass(time.Second)
	select {
	case v := <-result:
		t.Fatalf("it does not block: %v", v)
	default:
	}
}

// addresses returns what the attempts were made at, in order.
func addresses(attempts []attempt) string {
	var names []string
	for _, a := range attempts {
		names = append(names, a.ingress)
	}
	return strings.Join(names, " ")
}

// both are two ingresses.
var both = []string{"a", "b"}
