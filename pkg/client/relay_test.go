package client_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/durationpb"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/pkg/wire/wiretest"
)

// relay is a scripted relay behind ingresses, with one logical connection for each hello that opens one. It welcomes, and takes the
// messages as an app server would: in order, each once. All else a test says response by response, so that it can also say what a
// relay must not.
type relay struct {
	t         testing.TB
	network   *wiretest.Network
	ingresses map[string]*ingress
	wg        sync.WaitGroup
	window    uint32

	mu sync.Mutex
	// Guarded by mu.
	script   script                            // nil for none
	greeting func(*holdfastv1.ConnectResponse) // changes the response that has a welcome; nil for none
	attempts []attempt
	streams  []*stream
	notes    []string
	logicals map[string]*logical // by connection id
	holds    bool                // does not end a stream when another takes the connection over
}

// script changes the answer to a hello; neither a welcome nor an error means that nothing is answered.
type script func(attempt, *holdfastv1.Welcome) (*holdfastv1.Welcome, error)

// answers has the relay answer by the script.
func (r *relay) answers(s script) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.script = s
}

// greets has the relay change the responses that have a welcome.
func (r *relay) greets(change func(*holdfastv1.ConnectResponse)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.greeting = change
}

// logical is what the relay knows of a connection.
type logical struct {
	id       string
	received uint64 // the last message that came in order
	consumed uint64 // the last one that a receipt is given for
	token    string
	silent   bool // gives no receipts
	stream   *stream
}

// attempt is one hello.
type attempt struct {
	at            time.Time
	hello         *holdfastv1.Hello
	ingress       string
	authorization string
	n             int // from 1
}

func newRelay(t testing.TB, ingresses ...string) *relay {
	r := &relay{
		t: t, network: wiretest.NewNetwork(), ingresses: make(map[string]*ingress), window: 64 << 10, logicals: make(map[string]*logical),
	}
	for _, name := range ingresses {
		i := &ingress{relay: r, name: name}
		i.start()
		r.ingresses[name] = i
	}
	return r
}

func (r *relay) stop() {
	for _, i := range r.ingresses {
		i.stop()
	}
	r.wg.Wait()
}

// dial leads to the ingress that is named as the target.
func (r *relay) dial(ctx context.Context, name string) (net.Conn, error) {
	i := r.ingresses[name]
	i.mu.Lock()
	listener, down := i.listener, i.down
	i.mu.Unlock()
	if down {
		return nil, errors.New("connection refused")
	}
	return listener.DialContext(ctx)
}

func (r *relay) attemptsSoFar() []attempt {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]attempt(nil), r.attempts...)
}

// stream returns the nth stream that was welcomed, from 1.
func (r *relay) stream(n int) *stream {
	r.t.Helper()
	settle()
	r.mu.Lock()
	defer r.mu.Unlock()
	if n > len(r.streams) {
		r.t.Fatalf("there is no stream %d; there are %d", n, len(r.streams))
	}
	return r.streams[n-1]
}

// streamCount returns how many streams were welcomed.
func (r *relay) streamCount() int {
	settle()
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.streams)
}

func (r *relay) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

// expect compares what came in requests since the last time.
func (r *relay) expect(want string) {
	r.t.Helper()
	settle()
	r.mu.Lock()
	got := strings.Join(r.notes, " ")
	r.notes = nil
	r.mu.Unlock()
	if got != want {
		r.t.Errorf("the relay received\n\t%s\nwant\n\t%s", got, want)
	}
}

// ingress is an L7 proxy in front of the relay: a gRPC server of its own.
type ingress struct {
	holdfastv1.UnimplementedClientConnectionServiceServer
	relay *relay
	name  string

	mu sync.Mutex
	// Guarded by mu.
	listener *wiretest.Listener
	servers  []*grpc.Server // the last one takes what is new
	conns    []*transport
	accepted int
	down     bool // takes no transports
}

func (i *ingress) start() {
	// As ingresses do, it bears the pings of clients.
	server := grpc.NewServer(grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second}))
	listener := i.relay.network.Listen(256 << 10)
	holdfastv1.RegisterClientConnectionServiceServer(server, i)
	i.mu.Lock()
	i.listener, i.servers = listener, append(i.servers, server)
	i.mu.Unlock()
	i.relay.wg.Go(func() {
		if err := server.Serve(recording{listener, i}); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			i.relay.t.Errorf("ingress %s: %v", i.name, err)
		}
	})
}

// reload does what a proxy does: GOAWAY for what is there, which runs on, and a new server for what comes.
func (i *ingress) reload() {
	i.mu.Lock()
	old := i.servers[len(i.servers)-1]
	i.mu.Unlock()
	i.start()
	i.relay.wg.Go(old.GracefulStop)
}

// cut breaks every transport that is there, with no goodbye.
func (i *ingress) cut() {
	i.mu.Lock()
	conns := i.conns
	i.conns = nil
	i.mu.Unlock()
	for _, c := range conns {
		_ = c.Close() // a transport that is closed already is as good
	}
}

// freeze has the ingress take nothing more of the transports that are there, as if the network swallowed all.
func (i *ingress) freeze() {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, c := range i.conns {
		c.freeze()
	}
}

// transport is one that can be frozen.
type transport struct {
	net.Conn
	frozen chan struct{}
	closed atomic.Bool
}

// Close closes the transport.
func (t *transport) Close() error {
	t.closed.Store(true)
	return t.Conn.Close()
}

func (t *transport) freeze() { close(t.frozen) }

// Read reads until the transport is frozen; then what comes is swallowed.
func (t *transport) Read(b []byte) (int, error) {
	for {
		n, err := t.Conn.Read(b)
		select {
		case <-t.frozen:
			if err == nil {
				continue
			}
		default:
		}
		return n, err
	}
}

// transports returns how many transports are open, and how many there were in all.
func (i *ingress) transports() (open, total int) {
	settle()
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, c := range i.conns {
		if !c.closed.Load() {
			open++
		}
	}
	return open, i.accepted
}

// refuse has the ingress take no transports, or take them again.
func (i *ingress) refuse(down bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.down = down
}

func (i *ingress) stop() {
	i.mu.Lock()
	servers := i.servers
	i.mu.Unlock()
	for _, s := range servers {
		s.Stop()
	}
}

// recording notes the transports that a listener accepts.
type recording struct {
	net.Listener
	ingress *ingress
}

func (l recording) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	t := &transport{Conn: c, frozen: make(chan struct{})}
	l.ingress.mu.Lock()
	defer l.ingress.mu.Unlock()
	l.ingress.conns = append(l.ingress.conns, t)
	l.ingress.accepted++
	return t, nil
}

// Connect implements ClientConnectionService.
func (i *ingress) Connect(raw holdfastv1.ClientConnectionService_ConnectServer) error {
	first, err := raw.Recv()
	if err != nil {
		return err
	}
	r := i.relay
	w, l, err := r.greet(i.name, first.GetHello(), strings.Join(metadata.ValueFromIncomingContext(raw.Context(), "authorization"), ","))
	if err != nil {
		return err
	}
	if w == nil {
		<-raw.Context().Done()
		return raw.Context().Err()
	}
	s := &stream{relay: r, ingress: i.name, raw: raw, logical: l, end: make(chan error, 4), over: make(chan struct{})}
	r.mu.Lock()
	if former := l.stream; former != nil && !r.holds {
		former.end <- wire.CloseStatus(holdfastv1.CloseReason_CLOSE_REASON_RESUMED_ELSEWHERE, "")
	}
	l.stream = s
	r.streams = append(r.streams, s)
	s.name = fmt.Sprint(len(r.streams))
	greeting := r.greeting
	r.mu.Unlock()
	response := &holdfastv1.ConnectResponse{Welcome: w}
	if greeting != nil {
		greeting(response)
	}
	s.respond(response)
	r.wg.Go(s.read)
	select {
	case err := <-s.end:
		return err
	case <-s.over:
		return nil
	}
}

// greet answers a hello.
func (r *relay) greet(ingress string, hello *holdfastv1.Hello, authorization string) (*holdfastv1.Welcome, *logical, error) {
	r.mu.Lock()
	a := attempt{at: time.Now(), hello: hello, ingress: ingress, authorization: authorization, n: len(r.attempts) + 1}
	r.attempts = append(r.attempts, a)
	w := &holdfastv1.Welcome{
		Application: "test", Ingress: ingress, MaxMessageBytes: 16 << 10, WindowBytes: r.window, RelayId: "relay-" + ingress,
		ResumeToken: fmt.Sprint("token-", a.n), ResumeTime: durationpb.New(time.Minute),
	}
	l := &logical{id: wire.FormatID(uint64(a.n))}
	if resume := hello.GetResume(); resume != nil {
		for _, known := range r.logicals {
			if known.token == resume.GetToken() {
				l = known
			}
		}
		w.Recovered, w.ReceivedSeq, w.ConsumedSeq = true, l.received, l.consumed
	}
	w.ConnectionId = l.id
	answer := r.script
	r.mu.Unlock()
	var err error
	if answer != nil {
		w, err = answer(a, w)
	}
	if w != nil && err == nil {
		r.mu.Lock()
		l.token = cmp.Or(w.GetResumeToken(), l.token)
		r.logicals[l.id] = l
		r.mu.Unlock()
	}
	return w, l, err
}

// quiet has the relay give no receipts for what comes.
func (s *stream) quiet() {
	s.relay.mu.Lock()
	defer s.relay.mu.Unlock()
	s.logical.silent = true
}
