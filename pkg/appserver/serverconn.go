package appserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/experimental"
	"google.golang.org/protobuf/types/known/durationpb"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
)

const (
	// handshakeTimeout is for how long the relay may take to answer.
	handshakeTimeout = 10 * time.Second
	// maxReceive bounds one gRPC message of the relay, in bytes: the largest message limit that a relay can
	// have, and what stands beside it.
	maxReceive = 17 << 20
)

// serverConn is one server connection. Each has a ClientConn of its own, so that its connectivity state is the
// path's.
type serverConn struct {
	// Set once, by attach.
	server     *Server
	life       context.Context // the server's, which connections live in: they outlast the path
	log        *slog.Logger
	path       ordering.Path
	clientConn *grpc.ClientConn
	stream     holdfastv1.ServerConnectionService_AttachClient
	cancel     context.CancelCauseFunc
	writer     *wire.Writer
	id         string
	relayID    string
	ingress    string
	window     int
	maxMessage int
	heartbeat  time.Duration
	attachedAt time.Time

	// leaving is closed when the path is about to go, gone when the stream has ended.
	leaving, gone chan struct{}
	leave         sync.Once

	// frame is the one at hand; owned by the reader.
	frame wire.Frame

	// spreading: it is about to be drained as all came in through one ingress. Guarded by server.mu.
	spreading bool
}

// attach dials the target, shakes hands, and has the stream served in a goroutine of the server's until it ends.
func (s *Server) attach(ctx, life context.Context, to target) (*serverConn, error) {
	options := append([]grpc.DialOption{
		grpc.WithDisableRetry(), // a stream is never retried; without this its messages would be kept for that
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxReceive), grpc.ForceCodecV2(wire.Codec{})),
		experimental.WithBufferPool(wire.BufferPool),
	}, s.config.DialOptions...)
	cc, err := to.dial(options)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", to.name, err)
	}
	streamCtx, cancel := context.WithCancelCause(life)
	sc := &serverConn{
		server: s, life: life, path: ordering.Path(s.lastPath.Add(1)), clientConn: cc, cancel: cancel,
		leaving: make(chan struct{}), gone: make(chan struct{}),
	}
	stop := context.AfterFunc(ctx, func() { cancel(errShutdown) })
	timeout := time.AfterFunc(handshakeTimeout, func() { cancel(errors.New("the relay did not answer the handshake")) })
	interval, err := sc.handshake(streamCtx)
	inTime, goOn := timeout.Stop(), stop()
	if !inTime || !goOn {
		err = errors.Join(err, context.Cause(streamCtx))
	}
	if err != nil {
		cancel(err)
		return nil, errors.Join(err, cc.Close())
	}
	sc.log = s.config.Logger.With("server_connection", sc.id, "ingress", sc.ingress)
	sc.heartbeat, sc.attachedAt = interval, time.Now()
	sc.writer = wire.NewWriter(sc.path, interval, func(b *wire.Batch) error { return sc.stream.SendMsg(b) })
	s.addPath(sc)
	sc.log.Info("attached to the relay", "relay", sc.relayID, "address", to.String())
	s.streams.Go(func() { sc.run(streamCtx) })
	return sc, nil
}

// handshake opens the stream and returns the heartbeat interval that was agreed on.
func (sc *serverConn) handshake(ctx context.Context) (time.Duration, error) {
	config := &sc.server.config
	stream, err := holdfastv1.NewServerConnectionServiceClient(sc.clientConn).Attach(ctx)
	if err != nil {
		return 0, err
	}
	sc.stream = stream
	request := &holdfastv1.HandshakeRequestMessage{
		ProtocolVersion: wire.ProtocolVersion, ServerId: config.ServerID, InstanceId: config.InstanceID,
		ProcessNonce: sc.server.nonce, Application: config.Application, WindowBytes: uint32(config.WindowBytes),
	}
	if config.HeartbeatInterval > 0 {
		request.HeartbeatInterval = durationpb.New(config.HeartbeatInterval)
	}
	if err := stream.Send(&holdfastv1.AttachRequest{Handshake: request}); err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	} // io.EOF says only that the stream is over; Recv says why
	first, err := stream.Recv()
	if err != nil {
		return 0, err
	}
	h := first.GetHandshake()
	if h == nil || h.GetProtocolVersion() != wire.ProtocolVersion || len(h.GetCapabilities()) > 0 {
		return 0, fmt.Errorf("the relay's handshake is not of protocol version %d: %v", wire.ProtocolVersion, h)
	}
	sc.id, sc.relayID, sc.ingress = h.GetServerConnectionId(), h.GetRelayId(), h.GetIngress()
	sc.window, sc.maxMessage = int(h.GetWindowBytes()), int(h.GetMaxMessageBytes())
	interval := h.GetHeartbeatInterval().AsDuration()
	if interval <= 0 || sc.window <= 0 || sc.maxMessage <= 0 {
		return 0, fmt.Errorf("the relay's handshake lacks the heartbeat interval, window or message limit: %v", h)
	}
	return interval, nil
}

// run serves the stream until it ends: the reader here, the writer and the watch of the path beside it.
func (sc *serverConn) run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := sc.writer.Run(ctx); !errors.Is(err, io.EOF) { // io.EOF: the reader knows why
			sc.cancel(err)
		}
	})
	wg.Go(func() { sc.watch(ctx) })
	err := sc.read()
	if cause := context.Cause(ctx); cause != nil {
		err = cause // why the stream was cut from this side
	}
	sc.cancel(err)
	wg.Wait()
	sc.writer.Wait()
	sc.server.removePath(sc, err)
	sc.log.Info("server connection ended", "cause", err)
	if err := sc.clientConn.Close(); err != nil {
		sc.log.Warn("closing the connection", "error", err)
	}
	close(sc.gone)
}

// watch sees the GOAWAY of an ingress that is reloading: a stream is not told of it, but the ClientConn leaves READY
// while the stream still works.
func (sc *serverConn) watch(ctx context.Context) {
	// A handshake can be over a moment before the state says READY.
	for _, state := range []connectivity.State{connectivity.Connecting, connectivity.Ready} {
		for sc.clientConn.GetState() == state {
			if !sc.clientConn.WaitForStateChange(ctx, state) {
				return
			}
		}
	}
	sc.drain("the path is about to go: its transport was told so, or was lost")
}

// drain says on the stream that the path is about to go, and has it replaced.
func (sc *serverConn) drain(detail string) {
	sc.leave.Do(func() {
		sc.log.Info("server connection is draining", "detail", detail)
		sc.writer.Draining(detail)
		close(sc.leaving)
	})
}

func (sc *serverConn) isLeaving() bool {
	select {
	case <-sc.leaving:
		return true
	default:
		return false
	}
}

// read takes what the relay sends until the stream ends.
func (sc *serverConn) read() error {
	var m wire.Received
	defer m.Release()
	for {
		err := sc.stream.RecvMsg(&m)
		if errors.Is(err, io.EOF) {
			return errors.New("the relay ended it")
		}
		if err != nil {
			return err
		}
		if err := sc.received(&m); err != nil {
			return err
		}
		m.Release()
	}
}

func (sc *serverConn) received(m *wire.Received) error {
	sc.writer.Heard()
	if m.Handshake {
		return errors.New("the relay sent a second handshake")
	}
	sc.writer.Ping(m.Ping)
	if m.Draining != nil {
		sc.drain("the relay says: " + m.Draining.GetDetail())
	}
	for i := range m.Frames() {
		err := m.Frame(i, &sc.frame)
		if err == nil {
			err = sc.dispatch(&sc.frame)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// dispatch hands a frame to its connection. Its error ends the server connection.
func (sc *serverConn) dispatch(f *wire.Frame) error {
	if f.Connection == 0 {
		return errors.New("the relay sent a frame without a connection_id")
	}
	if r := f.Rare.GetReject(); r != nil {
		sc.log.Warn("the relay dropped a frame of ours", "connection", wire.FormatID(f.Connection), "epoch", f.Step.Epoch,
			"reason", r.GetReason(), "detail", r.GetDetail())
		return nil
	}
	opens := f.Step.Kind == ordering.Open
	c, ended := sc.server.connection(f.Connection)
	if c == nil && !ended && opens {
		if c = sc.server.open(sc, f); c == nil {
			return nil
		} // opened by another path at the same moment
	}
	gone := f.GoneAtOnce()
	switch {
	case c == nil:
		sc.server.counters.drop(unknownConnection)
		if ended && opens || f.WantsAnswer() {
			sc.writer.Reply(f.UnknownConnection())
		}
	case gone != nil:
		c.goneAtOnce(f, gone)
	default:
		c.receive(sc, f)
	}
	return nil
}
