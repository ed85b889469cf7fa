package clientleg

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/ingress"
)

const (
	// PlainProtocol is the subprotocol in which a frame is a message; it is also what is spoken when none is asked for.
	PlainProtocol = "holdfast.plain"
	// Protocol is the subprotocol in which a frame is a ConnectRequest or ConnectResponse in protobuf: all that a client over gRPC can do.
	Protocol = "holdfast.v1"
	// bearerProtocol begins the subprotocol that carries a token, as a browser can set no header.
	bearerProtocol = "bearer."
	// applicationParameter names the application in the URL, for the same reason.
	applicationParameter = "application"

	// pingEvery keeps the stream alive through ingresses that cut idle ones after a minute, and finds clients that are gone.
	pingEvery = 15 * time.Second
	// pongTime is for how long an answer to a ping may take.
	pongTime = 30 * time.Second
)

// WebSocket returns what serves clients over WebSocket until the context ends: in plain mode, where a text or binary frame is a message,
// or in the messages of ClientConnectionService. Origins are the hosts, as patterns, whose pages may connect besides the relay's own;
// clients that are no browsers show no origin and may.
func (s *Service) WebSocket(ctx context.Context, origins []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.acceptWebSocket(ctx, w, r, origins) })
}

// acceptWebSocket makes the connection of a request a socket. It is served by a goroutine of its own, so that with the handler goes what
// package http keeps for it: buffers of 10 KiB, and a stack that has grown.
func (s *Service) acceptWebSocket(ctx context.Context, w http.ResponseWriter, r *http.Request, origins []string) {
	s.sockets.Add(1)
	defer s.sockets.Done()
	up, st := &upgrade{ResponseWriter: w}, &socket{ctx: asCall(ctx, r), application: application(r)}
	conn, err := websocket.Accept(up, r, &websocket.AcceptOptions{
		Subprotocols: []string{Protocol, PlainProtocol}, OriginPatterns: origins,
		OnPongReceived: func(context.Context, []byte) { st.unanswered.Store(0) },
	})
	if err != nil {
		s.counters.Error("WEBSOCKET_REFUSED")
		s.log.Warn("websocket refused", "address", r.RemoteAddr, "error", err)
		return
	}
	st.conn, st.under, st.in, st.plain = conn, up.conn, up.in, conn.Subprotocol() != Protocol
	conn.SetReadLimit(int64(s.config.MaxMessageBytes))
	if !st.plain {
		conn.SetReadLimit(int64(s.config.MaxMessageBytes) + requestOverhead)
	}
	s.sockets.Go(func() { s.serveSocket(st) })
}

func (s *Service) serveSocket(st *socket) {
	stop := context.AfterFunc(st.ctx, st.breakOff)
	pings := s.keepAlive(st)
	err := s.serve(st)
	pings.Stop()
	code, reason := closing(err)
	st.mu.Lock()
	st.closing = true
	st.mu.Unlock()
	_ = st.conn.Close(code, reason) // the peer is waited for: breaking off would keep it from hearing why
	stop()
}

// breakOff breaks the socket, and with that ends what reads and writes.
func (s *socket) breakOff() { _ = s.under.Close() }

// requestOverhead is what a request may have beside its largest message, in bytes: a token, the rest of a batch.
const requestOverhead = 64 << 10

// errFrameNotUTF8 is one that the standard has a code for.
var errFrameNotUTF8 = unexpected("a text frame is not valid UTF-8")

// asCall returns the context of a gRPC call with the same peer and headers, so that whoever looks at those need not know the two apart.
func asCall(ctx context.Context, r *http.Request) context.Context {
	md := metadata.MD{}
	for _, name := range []string{ingress.Header, ingress.AddressHeader, ingress.IdentityHeader, "authorization"} {
		md.Append(name, r.Header.Values(name)...)
	}
	for _, offered := range r.Header.Values("Sec-WebSocket-Protocol") {
		for p := range strings.SplitSeq(offered, ",") {
			if token, ok := strings.CutPrefix(strings.TrimSpace(p), bearerProtocol); ok {
				md.Append("authorization", "Bearer "+token)
			}
		}
	}
	addr, _ := net.ResolveTCPAddr("tcp", r.RemoteAddr) // numeric, as the server made it
	return peer.NewContext(metadata.NewIncomingContext(ctx, md), &peer.Peer{Addr: addr})
}

func application(r *http.Request) string {
	if name := r.URL.Query().Get(applicationParameter); name != "" {
		return name
	}
	return r.Header.Get(applicationHeader)
}

// socket is the stream of a client over WebSocket. Its methods are for one reader and one writer.
type socket struct {
	// Set once. Messages are written to the connection under the socket; the socket answers pings, and closes.
	conn        *websocket.Conn
	under       *socketConn
	ctx         context.Context
	application string
	// plain: a frame is a message.
	plain bool

	// unanswered is how many pings were sent since the last answer.
	unanswered atomic.Int32

	mu sync.Mutex
	// closing: the socket is being closed, and conn reads from in for itself; under mu. Until then the reader owns that.
	closing bool
	in      *bufio.Reader

	// Owned by the reader.
	begun  bool
	buffer []byte

	// Owned by the writer: the last response, encoded, and the frame that has it.
	encoded []byte
	frame   [1]ordering.Message
}

// Context implements stream.
func (s *socket) Context() context.Context { return s.ctx }

// Send implements stream. It is called with the welcome, of which a client in plain mode knows nothing.
func (s *socket) Send(m *holdfastv1.ConnectResponse) error {
	if s.plain {
		return nil
	}
	encoded, err := proto.Marshal(m)
	if err != nil {
		return fmt.Errorf("encoding a response: %w", err)
	}
	return s.write([]ordering.Message{binaryMessage(encoded)})
}

// RecvMsg implements stream. In plain mode the opening of the socket says hello, and each frame is a message. What it gives out is good
// until the next.
func (s *socket) RecvMsg(m any) error {
	r := m.(*request)
	if s.plain && !s.begun {
		s.begun = true
		r.hello = &holdfastv1.Hello{Application: s.application, Batches: true} // a frame for each, in one write
		return nil
	}
	s.wait()
	kind, reader, err := s.conn.Reader(context.Background()) // the end of the socket's context ends it, with no timer for each
	if err != nil {
		return s.readError(err)
	}
	if s.buffer, err = readAll(reader, s.buffer[:0]); err != nil {
		return s.readError(err)
	}
	if !s.plain {
		return s.decode(kind, r)
	}
	if kind == websocket.MessageBinary {
		r.single = binaryMessage(s.buffer)
		return nil
	}
	if !utf8.Valid(s.buffer) {
		return errFrameNotUTF8
	}
	r.single = ordering.Message{Kind: ordering.Text, Payload: s.buffer}
	return nil
}

// wait waits for something to read. An idle client waits here: the reader's stack is as small as it gets, while it has grown to twice of
// that within conn.
func (s *socket) wait() {
	s.mu.Lock()
	nothing := !s.closing && s.in.Buffered() == 0
	s.mu.Unlock()
	if nothing {
		s.under.wait()
	}
}

// decode decodes the frame that was read.
func (s *socket) decode(kind websocket.MessageType, r *request) error {
	if kind != websocket.MessageBinary {
		return malformed("a text frame; in %s every frame is binary, a ConnectRequest in protobuf", Protocol)
	}
	err := r.decode(s.buffer)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errNotUTF8):
		return errFrameNotUTF8
	case wire.ErrorReasonOf(err) != "":
		return err
	}
	return malformed("a frame of %d bytes is no ConnectRequest: %v", len(s.buffer), err)
}

func malformed(format string, args ...any) error {
	return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_MALFORMED_MESSAGE, format, args...)
}

// keptBuffer bounds what is kept for the next message, in bytes.
const keptBuffer = 4 << 10

// readAll reads to the end into the buffer, or a larger one.
func readAll(r io.Reader, b []byte) ([]byte, error) {
	if cap(b) > keptBuffer {
		b = nil
	}
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
}

func (s *socket) readError(err error) error {
	switch {
	case errors.Is(err, websocket.ErrMessageTooBig):
		return status.Error(codes.ResourceExhausted, "a frame is over the limit")
	case websocket.CloseStatus(err) >= 0:
		return status.Error(codes.Canceled, "the client closed the socket")
	case s.ctx.Err() != nil:
		return context.Cause(s.ctx)
	}
	return status.Errorf(codes.Canceled, "the socket broke: %v", err)
}

// SendMsg implements stream: in plain mode a frame for each message, else one.
func (s *socket) SendMsg(m any) error {
	r := m.(*response)
	if s.plain {
		return s.write(r.messages)
	}
	var err error
	if s.encoded, err = r.AppendTo(s.encoded[:0]); err != nil {
		return err
	}
	s.frame[0] = binaryMessage(s.encoded)
	err = s.write(s.frame[:])
	if cap(s.encoded) > keptBuffer {
		s.encoded = nil
	}
	s.frame[0] = ordering.Message{}
	return err
}

// write writes a frame for each message.
func (s *socket) write(messages []ordering.Message) error {
	if err := s.under.send(messages); err != nil {
		return status.Errorf(codes.Canceled, "the socket broke: %v", err)
	}
	return nil
}

// keepAlive pings until the timer is stopped, and breaks the socket off when no answer comes in time. It costs no goroutine, neither
// between two pings nor until the answer.
func (s *Service) keepAlive(st *socket) *time.Timer {
	var timer *time.Timer
	timer = time.AfterFunc(time.Hour, func() {
		if st.unanswered.Load() >= int32(pongTime/pingEvery) {
			st.breakOff()
			return
		}
		timer.Reset(pingEvery) // before the ping, which may be stuck: the next sees that
		st.under.ping(&st.unanswered)
	})
	timer.Reset(pingEvery) // not at once above: the function must see the timer
	return timer
}

// applicationCodes is where the codes begin with which a socket is closed when no code of the standard says it: this and the number of
// the CloseReason or, from errorCodes on, of the ErrorReason.
const (
	applicationCodes = 4000
	errorCodes       = 4100
	// maxReason bounds the text of a close frame, in bytes.
	maxReason = 123
)

// closing returns how a socket is closed that ended with the status.
func closing(err error) (websocket.StatusCode, string) {
	if err == nil {
		return websocket.StatusNormalClosure, ""
	}
	name, text := wire.ErrorReasonOf(err), status.Convert(err).Message()
	code := websocket.StatusInternalError
	if number, ok := holdfastv1.CloseReason_value["CLOSE_REASON_"+name]; ok {
		code = websocket.StatusCode(applicationCodes + number)
	} else if number, ok := holdfastv1.ErrorReason_value["ERROR_REASON_"+name]; ok {
		code = websocket.StatusCode(errorCodes + number)
	}
	switch {
	case name == "RELAY_SHUTDOWN" || name == "SERVER_SHUTDOWN":
		code = websocket.StatusGoingAway
	case name == "MESSAGE_TOO_LARGE":
		code = websocket.StatusMessageTooBig
	case errors.Is(err, errFrameNotUTF8):
		code = websocket.StatusInvalidFramePayloadData
	}
	if name != "" {
		text = fmt.Sprintf("%s: %s", name, text)
	}
	return code, strings.ToValidUTF8(text[:min(len(text), maxReason)], "")
}
