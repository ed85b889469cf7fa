package appserver_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/pkg/wire/wiretest"
)

// relay is a scripted relay behind ingresses. It answers handshakes and pings; everything else a test says frame by
// frame, so that it can also say what a relay must not.
type relay struct {
	t         testing.TB
	network   *wiretest.Network
	ingresses map[string]*ingress
	wg        sync.WaitGroup
	window    uint32
	largest   uint32

	// script answers a handshake when not nil; neither a response nor an error means that nothing is answered.
	script func(attempt) (*holdfastv1.HandshakeResponseMessage, error)
	// greet is called for each stream before its handshake is answered; that is not done when it returns false.
	greet func(*stream) bool
	// attached is called for each stream right after its handshake.
	attached func(*stream)
	// react is called by the reader of a stream for each frame and each DrainingMessage.
	react func(*stream, *holdfastv1.Frame, *holdfastv1.DrainingMessage)

	mu sync.Mutex
	// Guarded by mu.
	attempts []attempt
	streams  []*stream
	notes    []string
	pings    []*holdfastv1.PingMessage
	mute     bool // pings get no answer
}

// attempt is one handshake that an app server began.
type attempt struct {
	at      time.Time
	request *holdfastv1.HandshakeRequestMessage
	ingress string
	n       int // from 1
}

func newRelay(t testing.TB, ingresses ...string) *relay {
	r := &relay{t: t, network: wiretest.NewNetwork(), ingresses: make(map[string]*ingress), window: 256 << 10, largest: 1 << 20}
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

// welcome is the handshake response of a relay that is well.
func (r *relay) welcome(ingress string) *holdfastv1.HandshakeResponseMessage {
	return &holdfastv1.HandshakeResponseMessage{
		ProtocolVersion: wire.ProtocolVersion, RelayId: "relay-1", ServerConnectionId: "sc-" + ingress, Ingress: ingress,
		WindowBytes: r.window, MaxMessageBytes: r.largest, HeartbeatInterval: durationpb.New(15 * time.Second),
	}
}

// dial leads to the ingress that is named as the target.
func (r *relay) dial(ctx context.Context, name string) (net.Conn, error) {
	i := r.ingresses[name]
	i.mu.Lock()
	i.dials++
	listener := i.listener
	i.mu.Unlock()
	return listener.DialContext(ctx)
}

func (r *relay) count(ingress string, request *holdfastv1.HandshakeRequestMessage) attempt {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := attempt{at: time.Now(), request: request, ingress: ingress, n: len(r.attempts) + 1}
	r.attempts = append(r.attempts, a)
	return a
}

func (r *relay) attemptsSoFar() []attempt {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.attempts)
}

// stream returns the nth stream that was attached through the ingress, from 1.
func (r *relay) stream(ingress string, n int) *stream {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.streams {
		if s.ingress == ingress {
			if n--; n == 0 {
				return s
			}
		}
	}
	r.t.Fatalf("no such server connection through ingress %s; there are %d in all", ingress, len(r.streams))
	return nil
}

// take returns what the relay received since the last call, as one line.
func (r *relay) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	line := strings.Join(r.notes, " ")
	r.notes = nil
	return line
}

// expect compares what the relay received since the last take or expect.
func (r *relay) expect(want string) {
	r.t.Helper()
	settle()
	if got := r.take(); got != want {
		r.t.Errorf("the relay received\n\t%s\nwant\n\t%s", got, want)
	}
}

// ingress is an L7 proxy in front of the relay: a gRPC server of its own.
type ingress struct {
	holdfastv1.UnimplementedServerConnectionServiceServer
	relay *relay
	name  string

	mu sync.Mutex
	// Guarded by mu.
	listener *wiretest.Listener
	servers  []*grpc.Server // the last one takes what is new
	conns    []net.Conn
	dials    int
	attached int
}

func (i *ingress) start() {
	listener, server := i.relay.network.Listen(256<<10), grpc.NewServer(grpc.MaxRecvMsgSize(int(i.relay.largest)+64<<10))
	holdfastv1.RegisterServerConnectionServiceServer(server, i)
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
	if err == nil {
		l.ingress.mu.Lock()
		l.ingress.conns = append(l.ingress.conns, c)
		l.ingress.mu.Unlock()
	}
	return c, err
}

// Attach implements ServerConnectionService.
func (i *ingress) Attach(raw holdfastv1.ServerConnectionService_AttachServer) error {
	first, err := raw.Recv()
	if err != nil {
		return err
	}
	r := i.relay
	a := r.count(i.name, first.GetHandshake())
	response := r.welcome(i.name)
	if r.script != nil {
		if response, err = r.script(a); err != nil {
			return err
		}
	}
	if response == nil {
		<-raw.Context().Done()
		return raw.Context().Err()
	}
	s := i.attach(raw)
	if r.greet == nil || r.greet(s) {
		s.sendMessage(&holdfastv1.AttachResponse{Handshake: response})
	}
	if r.attached != nil {
		r.attached(s)
	}
	r.wg.Go(s.read)
	select {
	case err := <-s.end:
		return err
	case <-s.over:
		return nil
	}
}

func (i *ingress) attach(raw holdfastv1.ServerConnectionService_AttachServer) *stream {
	i.mu.Lock()
	i.attached++
	name := i.name
	if i.attached > 1 {
		name = fmt.Sprint(i.name, i.attached)
	}
	i.mu.Unlock()
	s := &stream{relay: i.relay, ingress: i.name, name: name, raw: raw, end: make(chan error, 1), over: make(chan struct{})}
	i.relay.mu.Lock()
	i.relay.streams = append(i.relay.streams, s)
	i.relay.mu.Unlock()
	return s
}

// stream is the relay's side of one server connection.
type stream struct {
	relay   *relay
	ingress string
	name    string // the ingress, and which stream through it when it is not the first
	raw     holdfastv1.ServerConnectionService_AttachServer
	end     chan error
	over    chan struct{}

	sending sync.Mutex

	// Guarded by relay.mu.
	frames []*holdfastv1.Frame // what was received
	held   chan struct{}       // the reader takes nothing before it is closed, when not nil
}

// hold has the relay take nothing of the stream until the returned function is called.
func (s *stream) hold() (release func()) {
	held := make(chan struct{})
	s.relay.mu.Lock()
	defer s.relay.mu.Unlock()
	s.held = held
	return func() { close(held) }
}

func (s *stream) wait() {
	s.relay.mu.Lock()
	held := s.held
	s.relay.mu.Unlock()
	if held != nil {
		<-held
	}
}

// send sends the frames in one batch.
func (s *stream) send(frames ...*holdfastv1.Frame) {
	s.relay.t.Helper()
	s.sendMessage(&holdfastv1.AttachResponse{Frames: frames})
}

func (s *stream) sendMessage(m *holdfastv1.AttachResponse) {
	s.relay.t.Helper()
	s.sending.Lock()
	defer s.sending.Unlock()
	if err := s.raw.Send(m); err != nil && !s.isOver() {
		s.relay.t.Errorf("sending via %s: %v", s.name, err)
	}
}

// finish ends the stream from the relay's side.
func (s *stream) finish(err error) { s.end <- err }

// isOver reports whether the stream has ended.
func (s *stream) isOver() bool {
	select {
	case <-s.over:
		return true
	default:
		return s.raw.Context().Err() != nil
	}
}

// last returns the last frame that was received.
func (s *stream) last() *holdfastv1.Frame {
	s.relay.mu.Lock()
	defer s.relay.mu.Unlock()
	if len(s.frames) == 0 {
		return nil
	}
	return s.frames[len(s.frames)-1]
}

func (s *stream) read() {
	defer close(s.over)
	for {
		m, err := s.raw.Recv()
		if err != nil {
			return
		}
		s.wait()
		s.note(m)
		if p := m.GetPing(); p != nil && !p.GetAnswer() && !s.muted() {
			s.sendMessage(&holdfastv1.AttachResponse{Ping: &holdfastv1.PingMessage{Nonce: p.GetNonce(), Answer: true}})
		}
		if s.relay.react == nil {
			continue
		}
		if m.GetDraining() != nil {
			s.relay.react(s, nil, m.GetDraining())
		}
		for _, f := range m.GetFrames() {
			s.relay.react(s, f, nil)
		}
	}
}

func (s *stream) muted() bool {
	s.relay.mu.Lock()
	defer s.relay.mu.Unlock()
	return s.relay.mute
}

func (s *stream) note(m *holdfastv1.AttachRequest) {
	r := s.relay
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.GetHandshake() != nil {
		r.notes = append(r.notes, s.name+">handshake")
	}
	if m.GetPing() != nil {
		r.pings = append(r.pings, m.GetPing())
	}
	if m.GetDraining() != nil {
		r.notes = append(r.notes, s.name+">draining")
	}
	for _, f := range m.GetFrames() {
		s.frames = append(s.frames, f)
		r.notes = append(r.notes, s.name+">"+describe(f))
	}
}
