package admin

import (
	"fmt"
	"slices"
	"strings"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

var leftWords = map[holdfastv1.LeftReason]string{
	holdfastv1.LeftReason_LEFT_REASON_CLIENT_THROUGH_INGRESS:     "client came in through this ingress",
	holdfastv1.LeftReason_LEFT_REASON_NO_OTHER_SERVER_CONNECTION: "app server has no other server connection",
	holdfastv1.LeftReason_LEFT_REASON_TARGET_DRAINING:            "every other server connection is draining",
	holdfastv1.LeftReason_LEFT_REASON_IN_HANDOFF:                 "in a handoff",
	holdfastv1.LeftReason_LEFT_REASON_OPENING:                    "not confirmed by the app server yet",
	holdfastv1.LeftReason_LEFT_REASON_TARGET_SUSPECT:             "no other server connection answers",
}

// LeftWords says why a logical connection was not moved.
func LeftWords(r holdfastv1.LeftReason) string {
	if words, ok := leftWords[r]; ok {
		return words
	}
	return enumWords(r.String(), "LEFT_REASON_")
}

// Left says what was left and why, such as "49: client came in through this ingress"; "nothing" when
// nothing was.
func Left(counts []*holdfastv1.LeftCount) string {
	parts := make([]string, 0, len(counts))
	for _, c := range slices.SortedFunc(slices.Values(counts), func(a, b *holdfastv1.LeftCount) int {
		return int(a.GetReason()) - int(b.GetReason())
	}) {
		if c.GetConnections() > 0 {
			parts = append(parts, fmt.Sprintf("%d: %s", c.GetConnections(), LeftWords(c.GetReason())))
		}
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, "; ")
}

// EventWords says what kind of event it is, such as "connection moved".
func EventWords(k holdfastv1.EventKind) string { return enumWords(k.String(), "EVENT_KIND_") }

// StateWords says where a logical connection stands, such as "stable".
func StateWords(s holdfastv1.ConnectionState) string {
	return enumWords(s.String(), "CONNECTION_STATE_")
}

// ClientWords says of what kind the client is, and whether its stream is gone, such as "resumable, away".
func ClientWords(c *holdfastv1.ClientConnection) string {
	switch {
	case c.GetAway():
		return "resumable, away"
	case c.GetResumable():
		return "resumable"
	}
	return "plain"
}

// CloseWords says why a logical connection ended, such as "server lost".
func CloseWords(r holdfastv1.CloseReason) string { return enumWords(r.String(), "CLOSE_REASON_") }

func enumWords(name, prefix string) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, prefix), "_", " "))
}
