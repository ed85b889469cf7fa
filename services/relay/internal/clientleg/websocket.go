package clientleg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
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

// WebSocket returns what serves clients over WebSocket: in plain mode, where a text or binary frame is a message, or in the messages of
// ClientConnectionService. Origins are the hosts, as
// patterns, whose pages may connect besides the relay's own; clients that are no browsers show no origin and may.
func (s *Service) WebSocket(origins []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serveWebSocket(w, r, origins) })
}

func (s *Service) serveWebSocket(w http.ResponseWriter, r *http.Request, origins []string) {
	s.sockets.Add(1)
	defer s.sockets.Done()
	ctx, cancel := context.WithCancel(asCall(r))
	defer cancel()
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{Protocol, PlainProtocol}, OriginPatterns: origins})
	if err != nil {
		s.counters.Error("WEBSOCKET_REFUSED")
		s.log.Warn("websocket refused", "address", r.RemoteAddr, "error", err)
		return
	}
	defer func() { _ = conn.CloseNow() }()
	st := &socket{conn: conn, ctx: ctx, application: application(r), plain: conn.Subprotocol() != Protocol}
	conn.SetReadLimit(int64(s.config.MaxMessageBytes))
	if !st.plain {
		conn.SetReadLimit(int64(s.config.MaxMessageBytes) + requestOverhead)
	}
	pings := s.keepAlive(st, cancel)
	err = s.serve(st)
	pings.Stop()
	_ = conn.Close(closing(err)) // the context ends after it: its end would break the socket before the client has heard why
}

// requestOverhead is what a request may have beside its largest message, in bytes: a token, the rest of a batch.
const requestOverhead = 64 << 10

// errFrameNotUTF8 is one that the standard has a code for.
var errFrameNotUTF8 = unexpected("a text frame is not valid UTF-8")

// asCall returns the context of a gRPC call with the same peer and headers, so that whoever looks at those need not know the two apart.
func asCall(r *http.Request) context.Context {
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
	return peer.NewContext(metadata.NewIncomingContext(r.Context(), md), &peer.Peer{Addr: addr})
}

func application(r *http.Request) string {
	if name := r.URL.Query().Get(applicationParameter); name != "" {
		return name
	}
	return r.Header.Get(applicationHeader)
}

// socket is the stream of a client over WebSocket. Its methods are for one reader and one writer.
type socket struct {
	// Set once.
	conn        *websocket.Conn
	ctx         context.Context
	application string
	// plain: a frame is a message.
	plain bool

	// Owned by the reader.
	begun  bool
	buffer []byte

	// Owned by the writer: the last response, encoded.
	encoded []byte
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
	return s.write(websocket.MessageBinary, encoded)
}

// RecvMsg implements stream. In plain mode the opening of the socket says hello, and each frame is a message. What it gives out is good
// until the next.
func (s *socket) RecvMsg(m any) error {
	r := m.(*request)
	if s.plain && !s.begun {
		s.begun = true
		r.hello = &holdfastv1.Hello{Application: s.application}
		return nil
	}
	kind, reader, err := s.conn.Reader(s.ctx)
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
	if !s.plain {
		var err error
		if s.encoded, err = r.AppendTo(s.encoded[:0]); err != nil {
			return err
		}
		err = s.write(websocket.MessageBinary, s.encoded)
		if cap(s.encoded) > keptBuffer {
			s.encoded = nil
		}
		return err
	}
	for _, message := range r.messages {
		kind := websocket.MessageBinary
		if message.Kind == ordering.Text {
			kind = websocket.MessageText
		}
		if err := s.write(kind, message.Payload); err != nil {
			return err
		}
	}
	return nil
}

func (s *socket) write(kind websocket.MessageType, b []byte) error {
	if err := s.conn.Write(s.ctx, kind, b); err != nil {
		return status.Errorf(codes.Canceled, "the socket broke: %v", err)
	}
	return nil
}

// keepAlive pings until the timer is stopped or the context of the socket ends, and gives the socket up when an answer is late. Between
// two pings it costs no goroutine.
func (s *Service) keepAlive(st *socket, giveUp func()) *time.Timer {
	var timer *time.Timer
	timer = time.AfterFunc(time.Hour, func() {
		ctx, cancel := context.WithTimeout(st.ctx, pongTime)
		defer cancel()
		switch err := st.conn.Ping(ctx); {
		case st.ctx.Err() != nil:
		case err != nil:
			giveUp()
		default:
			timer.Reset(pingEvery)
		}
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
