package clientleg

import (
	"unsafe"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
)

// fromContent reads the text or binary of a request or of a message in a batch.
func fromContent(content any) (ordering.Message, bool) {
	switch c := content.(type) {
	case *holdfastv1.ConnectRequest_Text:
		return textMessage(c.Text), true
	case *holdfastv1.ConnectRequest_Binary:
		return binaryMessage(c.Binary), true
	case *holdfastv1.ClientMessage_Text:
		return textMessage(c.Text), true
	case *holdfastv1.ClientMessage_Binary:
		return binaryMessage(c.Binary), true
	}
	return ordering.Message{}, false
}

func binaryMessage(b []byte) ordering.Message {
	return ordering.Message{Kind: ordering.Binary, Payload: b}
}

// textMessage shares the string's memory: nobody writes to the payload of a message.
func textMessage(s string) ordering.Message {
	return ordering.Message{Kind: ordering.Text, Payload: unsafe.Slice(unsafe.StringData(s), len(s))}
}

// textOf is the way back.
func textOf(payload []byte) string { return unsafe.String(unsafe.SliceData(payload), len(payload)) }
