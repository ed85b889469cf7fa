package wire

import (
	"fmt"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// ErrorDomain is the domain of every google.rpc.ErrorInfo that Holdfast sends.
const ErrorDomain = "holdfast.v1"

// errorCodes gives each reason the gRPC code that says how to react.
var errorCodes = map[holdfastv1.ErrorReason]codes.Code{
	holdfastv1.ErrorReason_ERROR_REASON_HANDSHAKE_REQUIRED:     codes.FailedPrecondition,
	holdfastv1.ErrorReason_ERROR_REASON_HANDSHAKE_REPEATED:     codes.FailedPrecondition,
	holdfastv1.ErrorReason_ERROR_REASON_UNSUPPORTED_VERSION:    codes.FailedPrecondition,
	holdfastv1.ErrorReason_ERROR_REASON_UNSUPPORTED_CAPABILITY: codes.FailedPrecondition,
	holdfastv1.ErrorReason_ERROR_REASON_INVALID_FIELD:          codes.InvalidArgument,
	holdfastv1.ErrorReason_ERROR_REASON_UNKNOWN_APPLICATION:    codes.NotFound,
	holdfastv1.ErrorReason_ERROR_REASON_INSTANCE_CONFLICT:      codes.AlreadyExists,
	holdfastv1.ErrorReason_ERROR_REASON_MALFORMED_FRAME:        codes.InvalidArgument,
	holdfastv1.ErrorReason_ERROR_REASON_MESSAGE_TOO_LARGE:      codes.ResourceExhausted,
	holdfastv1.ErrorReason_ERROR_REASON_NO_APP_SERVER:          codes.Unavailable,
	holdfastv1.ErrorReason_ERROR_REASON_SILENT_PEER:            codes.Unavailable,
	holdfastv1.ErrorReason_ERROR_REASON_RELAY_SHUTDOWN:         codes.Unavailable,
	holdfastv1.ErrorReason_ERROR_REASON_UNKNOWN_INGRESS:        codes.NotFound,
	holdfastv1.ErrorReason_ERROR_REASON_RELOAD_IN_PROGRESS:     codes.FailedPrecondition,
	holdfastv1.ErrorReason_ERROR_REASON_NO_RELOAD:              codes.FailedPrecondition,
	holdfastv1.ErrorReason_ERROR_REASON_UNKNOWN_CONNECTION:     codes.NotFound,
	holdfastv1.ErrorReason_ERROR_REASON_NOT_MOVABLE:            codes.FailedPrecondition,
	holdfastv1.ErrorReason_ERROR_REASON_UNEXPECTED_MESSAGE:     codes.InvalidArgument,
	holdfastv1.ErrorReason_ERROR_REASON_UNAUTHENTICATED:        codes.Unauthenticated,
	holdfastv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED:      codes.PermissionDenied,
	holdfastv1.ErrorReason_ERROR_REASON_TOO_MANY_CONNECTIONS:   codes.ResourceExhausted,
	holdfastv1.ErrorReason_ERROR_REASON_CONNECTION_RATE:        codes.ResourceExhausted,
	holdfastv1.ErrorReason_ERROR_REASON_OVERLOADED:             codes.Unavailable,
	holdfastv1.ErrorReason_ERROR_REASON_HANDSHAKE_TIMEOUT:      codes.DeadlineExceeded,
	holdfastv1.ErrorReason_ERROR_REASON_RESUME_TOKEN_INVALID:   codes.PermissionDenied,
	holdfastv1.ErrorReason_ERROR_REASON_RESUME_TOKEN_EXPIRED:   codes.PermissionDenied,
	holdfastv1.ErrorReason_ERROR_REASON_RESUME_TOKEN_REPLAYED:  codes.PermissionDenied,
	holdfastv1.ErrorReason_ERROR_REASON_RESUME_TOKEN_FOREIGN:   codes.PermissionDenied,
	holdfastv1.ErrorReason_ERROR_REASON_IMPOSSIBLE_NUMBER:      codes.InvalidArgument,
	holdfastv1.ErrorReason_ERROR_REASON_MALFORMED_MESSAGE:      codes.InvalidArgument,
}

// closeCodes gives each way in which a logical connection ends the gRPC code that its client sees.
var closeCodes = map[holdfastv1.CloseReason]codes.Code{
	holdfastv1.CloseReason_CLOSE_REASON_CLIENT_GONE:        codes.Canceled,
	holdfastv1.CloseReason_CLOSE_REASON_APPLICATION_CLOSED: codes.OK,
	holdfastv1.CloseReason_CLOSE_REASON_APPLICATION_ERROR:  codes.Unknown,
	holdfastv1.CloseReason_CLOSE_REASON_SERVER_LOST:        codes.Unavailable,
	holdfastv1.CloseReason_CLOSE_REASON_SERVER_SHUTDOWN:    codes.Unavailable,
	holdfastv1.CloseReason_CLOSE_REASON_RELAY_SHUTDOWN:     codes.Unavailable,
	holdfastv1.CloseReason_CLOSE_REASON_PROTOCOL_ERROR:     codes.Internal,
	holdfastv1.CloseReason_CLOSE_REASON_UNKNOWN_CONNECTION: codes.Unavailable,
	holdfastv1.CloseReason_CLOSE_REASON_MESSAGE_TOO_LARGE:  codes.ResourceExhausted,
	holdfastv1.CloseReason_CLOSE_REASON_SLOW_CONSUMER:      codes.ResourceExhausted,
	holdfastv1.CloseReason_CLOSE_REASON_OPERATOR:           codes.Aborted,
	holdfastv1.CloseReason_CLOSE_REASON_TOKEN_EXPIRED:      codes.Unauthenticated,
	holdfastv1.CloseReason_CLOSE_REASON_MESSAGE_RATE:       codes.ResourceExhausted,
	holdfastv1.CloseReason_CLOSE_REASON_IDLE:               codes.DeadlineExceeded,
	holdfastv1.CloseReason_CLOSE_REASON_RESUMED_ELSEWHERE:  codes.Aborted,
}

// Errorf returns a gRPC status error with the reason in a google.rpc.ErrorInfo.
func Errorf(reason holdfastv1.ErrorReason, format string, args ...any) error {
	return statusError(errorCodes[reason], ReasonName(reason), fmt.Sprintf(format, args...))
}

// CloseStatus returns what the client of a connection that ended for the reason sees: nil when the
// application closed it without an error.
func CloseStatus(reason holdfastv1.CloseReason, detail string) error {
	code, ok := closeCodes[reason]
	if !ok {
		code = codes.Unknown
	}
	if code == codes.OK {
		return nil
	}
	if detail == "" {
		detail = "connection closed: " + CloseReasonName(reason)
	}
	return statusError(code, CloseReasonName(reason), detail)
}

// maxMessage bounds the text of an error, in bytes: it may have what a stranger sent, and proxies refuse trailers of some KiB.
const maxMessage = 1 << 10

func statusError(code codes.Code, reason, message string) error {
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "") + " …"
	}
	s := status.New(code, message)
	if d, err := s.WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: ErrorDomain}); err == nil {
		s = d
	}
	return s.Err()
}

// ErrorReasonOf returns the reason in the error's google.rpc.ErrorInfo, or "" when it has none of ours.
func ErrorReasonOf(err error) string {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == ErrorDomain {
			return info.GetReason()
		}
	}
	return ""
}

// ReasonName returns the reason's name as it stands in a google.rpc.ErrorInfo.
func ReasonName(r holdfastv1.ErrorReason) string {
	return strings.TrimPrefix(r.String(), "ERROR_REASON_")
}

// CloseReasonName returns the reason's name as it stands in a google.rpc.ErrorInfo.
func CloseReasonName(r holdfastv1.CloseReason) string {
	return strings.TrimPrefix(r.String(), "CLOSE_REASON_")
}
