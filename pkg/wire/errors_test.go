package wire

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// Every reason of the contract must have a code: one without would be no error at all.
func TestErrorfKnowsEveryReason(t *testing.T) {
	for number := range holdfastv1.ErrorReason_name {
		reason := holdfastv1.ErrorReason(number)
		if reason == holdfastv1.ErrorReason_ERROR_REASON_UNSPECIFIED {
			continue
		}
		err := Errorf(reason, "field %q is %d", "x", 7)
		s, ok := status.FromError(err)
		if err == nil || !ok || s.Code() == codes.OK || s.Code() == codes.Unknown || s.Message() != `field "x" is 7` {
			t.Errorf("%v: %v", reason, err)
		}
		if got, want := ErrorReasonOf(err), strings.TrimPrefix(reason.String(), "ERROR_REASON_"); got != want {
			t.Errorf("%v: the reason is %q, want %q", reason, got, want)
		}
	}
}

func TestCloseStatusKnowsEveryReason(t *testing.T) {
	for number := range holdfastv1.CloseReason_name {
		reason := holdfastv1.CloseReason(number)
		err := CloseStatus(reason, "the values")
		if reason == holdfastv1.CloseReason_CLOSE_REASON_APPLICATION_CLOSED {
			if err != nil {
				t.Errorf("%v is no error, got %v", reason, err)
			}
			continue
		}
		if _, known := closeCodes[reason]; !known && reason != holdfastv1.CloseReason_CLOSE_REASON_UNSPECIFIED {
			t.Errorf("%v has no code", reason)
		}
		if status.Convert(err).Message() != "the values" || ErrorReasonOf(err) != strings.TrimPrefix(reason.String(), "CLOSE_REASON_") {
			t.Errorf("%v: %v, reason %q", reason, err, ErrorReasonOf(err))
		}
	}
}

func TestCloseStatus(t *testing.T) {
	for _, c := range []struct {
		reason  holdfastv1.CloseReason
		detail  string
		code    codes.Code
		message string
	}{
		{holdfastv1.CloseReason_CLOSE_REASON_APPLICATION_ERROR, "boom", codes.Unknown, "boom"},
		{holdfastv1.CloseReason_CLOSE_REASON_SERVER_LOST, "", codes.Unavailable, "connection closed: SERVER_LOST"},
		{holdfastv1.CloseReason_CLOSE_REASON_OPERATOR, "x", codes.Aborted, "x"},
		{holdfastv1.CloseReason_CLOSE_REASON_PROTOCOL_ERROR, "x", codes.Internal, "x"},
		{holdfastv1.CloseReason_CLOSE_REASON_SLOW_CONSUMER, "x", codes.ResourceExhausted, "x"},
		{77, "", codes.Unknown, "connection closed: 77"}, // of a later version of the protocol
	} {
		s := status.Convert(CloseStatus(c.reason, c.detail))
		if s.Code() != c.code || s.Message() != c.message {
			t.Errorf("%v: got %v %q, want %v %q", c.reason, s.Code(), s.Message(), c.code, c.message)
		}
	}
}

func TestErrorReasonOf(t *testing.T) {
	foreign, err := status.New(codes.NotFound, "x").WithDetails(&errdetails.ErrorInfo{Reason: "QUOTA", Domain: "example.com"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		err  error
	}{
		{"nil", nil},
		{"no status", errors.New("x")},
		{"a status without details", status.Error(codes.NotFound, "x")},
		{"the reason of another domain", foreign.Err()},
	} {
		if got := ErrorReasonOf(c.err); got != "" {
			t.Errorf("%s: %q is no reason of ours", c.name, got)
		}
	}
}
