package admin

import (
	"fmt"
	"strings"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// EventLine says an event in one line.
func EventLine(e *holdfastv1.WatchEventsResponse) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", e.GetTime().AsTime().Local().Format("15:04:05.000"), EventWords(e.GetKind()))
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, " %s=%s", name, value)
		}
	}
	field("connection", e.GetConnectionId())
	field("from", e.GetPreviousServerConnectionId())
	switch e.GetKind() {
	case holdfastv1.EventKind_EVENT_KIND_CONNECTION_MOVED, holdfastv1.EventKind_EVENT_KIND_CONNECTION_RESUMED:
		field("to", e.GetServerConnectionId())
	default:
		field("server_connection", e.GetServerConnectionId())
	}
	field("app_server", e.GetServerId())
	field("ingress", e.GetIngress())
	if e.GetPause() != nil {
		field("pause", e.GetPause().AsDuration().String())
	}
	if e.GetCloseReason() != holdfastv1.CloseReason_CLOSE_REASON_UNSPECIFIED {
		field("reason", fmt.Sprintf("%q", CloseWords(e.GetCloseReason())))
	}
	if e.GetMissed() > 0 {
		field("missed", fmt.Sprint(e.GetMissed()))
	}
	if e.GetDetail() != "" {
		field("detail", fmt.Sprintf("%q", e.GetDetail()))
	}
	return b.String()
}
