package appserver

import (
	"errors"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/wire"
)

// CloseError says why a connection has ended.
type CloseError struct {
	Reason holdfastv1.CloseReason
	// Detail is for people.
	Detail string
}

// Error returns the reason and the detail.
func (e *CloseError) Error() string {
	return "connection closed: " + wire.CloseReasonName(e.Reason) + ": " + e.Detail
}

var (
	// ErrMessageTooLarge is returned by Send for a payload over the relay's limit.
	ErrMessageTooLarge = errors.New("the message is over the limit")
	// ErrNotUTF8 is returned by Send for a text message that is not UTF-8.
	ErrNotUTF8 = errors.New("the text message is not UTF-8")
)
