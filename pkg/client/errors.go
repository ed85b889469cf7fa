package client

import (
	"errors"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
)

// Reason says why a connection ended, by the name that a CloseReason or an ErrorReason of the protocol has without its prefix. A relay
// that is newer than this package may give others than the constants.
type Reason string

// The reasons with which a connection ends.
const (
	// The application returned an error; the detail has it.
	ReasonApplicationError Reason = "APPLICATION_ERROR"
	// The app server process is gone, and what it held of the connection with it.
	ReasonServerLost     Reason = "SERVER_LOST"
	ReasonServerShutdown Reason = "SERVER_SHUTDOWN"
	// A peer broke a rule of the protocol; the relay did so twice with no progress between.
	ReasonProtocolError Reason = "PROTOCOL_ERROR"
	// No relay could be reached in time.
	ReasonGaveUp Reason = "GAVE_UP"
	// The connection had been given up when the client came back.
	ReasonUnknownConnection Reason = "UNKNOWN_CONNECTION"
	ReasonMessageTooLarge   Reason = "MESSAGE_TOO_LARGE"
	// Receive was not called for too long.
	ReasonSlowConsumer Reason = "SLOW_CONSUMER"
	ReasonOperator     Reason = "OPERATOR"
	ReasonMessageRate  Reason = "MESSAGE_RATE"
	ReasonIdle         Reason = "IDLE"
	// The token was not good, and there is no other one to be had.
	ReasonTokenExpired     Reason = "TOKEN_EXPIRED"
	ReasonUnauthenticated  Reason = "UNAUTHENTICATED"
	ReasonPermissionDenied Reason = "PERMISSION_DENIED"
	// The relay did not take the resume token.
	ReasonResumeTokenInvalid  Reason = "RESUME_TOKEN_INVALID"
	ReasonResumeTokenExpired  Reason = "RESUME_TOKEN_EXPIRED"
	ReasonResumeTokenReplayed Reason = "RESUME_TOKEN_REPLAYED"
	ReasonResumeTokenForeign  Reason = "RESUME_TOKEN_FOREIGN"
	ReasonUnknownApplication  Reason = "UNKNOWN_APPLICATION"
)

// CloseError says why a connection has ended, or could not be opened.
type CloseError struct {
	Reason Reason
	// Detail is for people.
	Detail string
	// Err is the error of the stream that had the reason, or the last one before the connection was given up; nil when the relay sent
	// the reason as a message.
	Err error
}

// Error returns the reason and the detail.
func (e *CloseError) Error() string {
	return "connection closed: " + string(e.Reason) + ": " + e.Detail
}

// Unwrap returns the error of the stream.
func (e *CloseError) Unwrap() error { return e.Err }

var (
	// ErrClosed is returned by Send and Receive after Close was called.
	ErrClosed = errors.New("the connection was closed here")
	// ErrSendClosed is returned by Send after CloseSend was called.
	ErrSendClosed = errors.New("the sending direction was closed here")
	// ErrMessageTooLarge is returned by Send for a payload over the relay's limit.
	ErrMessageTooLarge = errors.New("the message is over the limit")
	// ErrNotUTF8 is returned by Send for a text message that is not UTF-8.
	ErrNotUTF8 = errors.New("the text message is not UTF-8")
)

// fault is a breach of the protocol by the relay that was seen here.
type fault struct{ error }

// Unwrap returns the breach.
func (f fault) Unwrap() error { return f.error }

// breached makes a fault of a breach that package ordering has found.
func breached(err error) error {
	if breach := new(ordering.ProtocolError); errors.As(err, &breach) {
		return fault{breach}
	}
	return err
}

// reaction is what the error of a stream asks for.
type reaction uint8

const (
	// again: to resume, by another address first.
	again reaction = iota + 1
	// renew: the same with a new token, if one is to be had.
	renew
	// once: the same, but not if it was so the last time, and there was no progress since.
	once
	// final: the connection is lost.
	final
)

// reactions are those to the reasons that are not final.
var reactions = map[string]reaction{
	wire.ReasonName(holdfastv1.ErrorReason_ERROR_REASON_RELAY_SHUTDOWN):         again,
	wire.ReasonName(holdfastv1.ErrorReason_ERROR_REASON_NO_APP_SERVER):          again,
	wire.ReasonName(holdfastv1.ErrorReason_ERROR_REASON_OVERLOADED):             again,
	wire.ReasonName(holdfastv1.ErrorReason_ERROR_REASON_TOO_MANY_CONNECTIONS):   again,
	wire.ReasonName(holdfastv1.ErrorReason_ERROR_REASON_CONNECTION_RATE):        again,
	wire.ReasonName(holdfastv1.ErrorReason_ERROR_REASON_HANDSHAKE_TIMEOUT):      again,
	wire.CloseReasonName(holdfastv1.CloseReason_CLOSE_REASON_RESUMED_ELSEWHERE): again, // the app server decides who is right
	wire.ReasonName(holdfastv1.ErrorReason_ERROR_REASON_UNAUTHENTICATED):        renew,
	wire.CloseReasonName(holdfastv1.CloseReason_CLOSE_REASON_TOKEN_EXPIRED):     renew,
	wire.ReasonName(holdfastv1.ErrorReason_ERROR_REASON_IMPOSSIBLE_NUMBER):      once,
}

// reactionTo returns what the error of a stream asks for.
func reactionTo(err error) reaction {
	if breach := new(fault); errors.As(err, breach) {
		return once
	}
	reason := wire.ErrorReasonOf(err)
	if r, ok := reactions[reason]; ok {
		return r
	}
	switch code := status.Code(err); {
	case reason != "":
		return final
	case code == codes.Unauthenticated: // by an ingress
		return renew
	}
	return again
}

// closeErrorOf returns the reason of a stream's error.
func closeErrorOf(err error) *CloseError {
	why := &CloseError{Reason: Reason(wire.ErrorReasonOf(err)), Detail: status.Convert(err).Message(), Err: err}
	switch breach := new(fault); {
	case errors.As(err, breach):
		why.Reason, why.Detail = ReasonProtocolError, breach.Error()
	case why.Reason == "IMPOSSIBLE_NUMBER":
		why.Reason = ReasonProtocolError
	case why.Reason == "":
		why.Reason = ReasonUnauthenticated // the only one without a reason that can be final
	}
	return why
}

// fateOf returns what Receive returns for the peer's Close.
func fateOf(m ordering.Message) error {
	reason := holdfastv1.CloseReason(m.Reason)
	if reason == holdfastv1.CloseReason_CLOSE_REASON_APPLICATION_CLOSED {
		return io.EOF
	}
	return &CloseError{Reason: Reason(wire.CloseReasonName(reason)), Detail: string(m.Payload)}
}
