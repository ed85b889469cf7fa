package appserver_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/appserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// settle lets everything happen that needs no time to pass.
func settle() { synctest.Wait() }

// pause lets time pass: enough for every receipt, too little for a heartbeat.
func pause() {
	time.Sleep(time.Second)
	settle()
}

// world is a relay and an app server that runs, in a bubble with a clock of its own.
type world struct {
	*relay
	t      *testing.T
	config appserver.Config
	server *appserver.Server
	// sessions are the connections that were given to the handler, in order.
	sessions chan *session
	// stop ends the context of Run; returned is closed when Run has returned.
	stop     context.CancelFunc
	returned chan struct{}
	ended    time.Time // when Run returned
}

// session is a connection in the hands of a test: the handler returns what the test says, or why its context ended.
type session struct {
	*appserver.Connection
	ctx  context.Context
	end  chan error
	left chan struct{} // closed when the handler returns
}

// ServeConnection implements appserver.Handler.
func (w *world) ServeConnection(ctx context.Context, c *appserver.Connection) error {
	x := &session{Connection: c, ctx: ctx, end: make(chan error, 1), left: make(chan struct{})}
	defer close(x.left)
	w.sessions <- x
	select {
	case err := <-x.end:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// setup changes a world before its app server runs.
type setup func(*world, *appserver.Config)

// run runs a test in a bubble, with an app server that has a server connection through each of the ingresses. When the
// test is over the bubble waits for every goroutine, and fails when one is left.
func run(t *testing.T, ingresses []string, change setup, test func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ingresses, change)
		defer w.relay.stop()
		defer func() {
			w.stop()
			<-w.returned
		}()
		settle()
		test(t, w)
	})
}

func newWorld(t *testing.T, ingresses []string, change setup) *world {
	w := &world{relay: newRelay(t, ingresses...), t: t, sessions: make(chan *session, 100), returned: make(chan struct{})}
	cfg := appserver.Config{
		ServerID: "app-1", Application: "test", Handler: w, ShutdownGrace: -1,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		DialOptions: []grpc.DialOption{
			grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(w.dial),
		},
	}
	for _, name := range ingresses {
		cfg.Relays = append(cfg.Relays, "passthrough:///"+name)
	}
	if change != nil {
		change(w, &cfg)
	}
	server, err := appserver.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.config, w.server = cfg, server
	ctx, cancel := context.WithCancel(context.Background())
	w.stop = cancel
	go func() {
		defer close(w.returned)
		if err := server.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
		w.ended = time.Now()
	}()
	return w
}

// open opens a connection via the stream, takes what the app server says to that, and returns the session.
func (w *world) open(s *stream, id uint64) *session {
	w.t.Helper()
	s.send(on(id, open()))
	settle()
	w.take()
	return w.session()
}

// session returns the next connection that the handler was given.
func (w *world) session() *session {
	w.t.Helper()
	settle()
	select {
	case x := <-w.sessions:
		return x
	default:
		w.t.Fatal("the handler was given no connection")
		return nil
	}
}

// connected is run with ingresses a and b, and connection 1 on a.
func connected(t *testing.T, change setup, test func(t *testing.T, w *world, a, b *stream, x *session)) {
	run(t, []string{"a", "b"}, change, func(t *testing.T, w *world) {
		a, b := w.stream("a", 1), w.stream("b", 1)
		test(t, w, a, b, w.open(a, 1))
	})
}

// sent has the session send a message, which must be accepted at once.
func (x *session) sent(t *testing.T, payload string) {
	t.Helper()
	if err := done(t, begin(func() error { return x.send(payload) })); err != nil {
		t.Fatalf("sending %q: %v", payload, err)
	}
}

func (x *session) send(payload string) error {
	return x.Send(x.ctx, appserver.Message{Payload: []byte(payload)})
}

// received is what Receive returned.
type received struct {
	err     error
	payload string
	text    bool
}

func (x *session) receive() received {
	m, err := x.Receive(context.Background())
	return received{err: err, payload: string(m.Payload), text: m.Text}
}

// nothing checks that there is nothing to receive, and that nothing comes in a while.
func (x *session) nothing(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(x.ctx, time.Second)
	defer cancel()
	if m, err := x.Receive(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("received %q, %v; want nothing", m.Payload, err)
	}
}

// receives checks that the next messages are these, and wait already.
func (x *session) receives(t *testing.T, payloads ...string) {
	t.Helper()
	for _, want := range payloads {
		if got := done(t, begin(x.receive)); got.payload != want || got.err != nil {
			t.Fatalf("received %q, %v; want %q", got.payload, got.err, want)
		}
	}
}

// closed checks that the connection has ended for that reason: to Receive.
func (x *session) closed(t *testing.T, reason holdfastv1.CloseReason) *appserver.CloseError {
	t.Helper()
	return isClosed(t, done(t, begin(x.receive)).err, reason)
}

// lost checks that the connection was ended under the handler: for its context, Receive and Send.
func (x *session) lost(t *testing.T, reason holdfastv1.CloseReason) {
	t.Helper()
	settle()
	isClosed(t, context.Cause(x.ctx), reason)
	x.closed(t, reason)
	isClosed(t, x.Send(context.Background(), appserver.Message{}), reason)
}

func isClosed(t *testing.T, err error, reason holdfastv1.CloseReason) *appserver.CloseError {
	t.Helper()
	why := new(appserver.CloseError)
	if !errors.As(err, &why) || why.Reason != reason {
		t.Fatalf("got %v, want a CloseError with %v", err, reason)
	}
	return why
}

// alive checks that messages of a connection go both ways via the stream; seq is the next number of both directions.
func (w *world) alive(s *stream, x *session, id, seq uint64) {
	w.t.Helper()
	w.take()
	s.send(on(id, data(seq, 1, "ping")))
	x.receives(w.t, "ping")
	x.sent(w.t, "pong")
	pause()
	want := on(id, data(seq, 1, "pong"))
	want.GetData().ConsumedSeq = seq
	w.expect(s.name + ">" + describe(want))
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

// outlast lets more time pass than a lost connection waits to be resumed: the park time, and three heartbeat intervals.
func outlast() {
	time.Sleep(76 * time.Second)
	settle()
}

// blocks checks that there is no result yet, and none in a while.
func blocks[T any](t *testing.T, result <-chan T) {
	t.Helper()
	pause()
	select {
	case v := <-result:
		t.Fatalf("it does not block: %v", v)
	default:
	}
}

// sorted puts the notes of different streams in an order, where theirs means nothing.
func sorted(line string) string {
	notes := strings.Fields(line)
	slices.Sort(notes)
	return strings.Join(notes, " ")
}
