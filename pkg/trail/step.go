package trail

import "fmt"

// Step is a step of a move, as one end sees it.
type Step uint8

// The steps: those of a handoff, then those of a resume.
const (
	// ReloadRequested: the reload was announced.
	ReloadRequested Step = iota + 1
	// Planned: the relay found the connection on a path that is draining.
	Planned
	// MigrateSent: the relay sends via the target from here on.
	MigrateSent
	// MigrateReceived: the app server has it.
	MigrateReceived
	// Paused: the app server has paused the outgoing traffic.
	Paused
	// WithAckSent: the app server's last frame via the previous.
	WithAckSent
	// WithAckReceived: the relay has all that came via the previous.
	WithAckReceived
	// AckSent: the relay's last frame via the previous.
	AckSent
	// AckReceived: the app server has all that came via the previous.
	AckReceived
	// Drained: the app server has drained the temporary buffer and taken up the outgoing traffic again.
	Drained
	// ReceiptSent: the app server has confirmed.
	ReceiptSent
	// ReceiptReceived: the handoff is over for the relay.
	ReceiptReceived
	// ResumeSent: the relay asks for a replay via the target.
	ResumeSent
	// ResumeReceived: the app server has fenced every other path.
	ResumeReceived
	// AnswerSent: the app server replays from here on.
	AnswerSent
	// AnswerReceived: the relay has the answer.
	AnswerReceived
	// Replayed: the relay replays from here on.
	Replayed
)

// steps have the name of each step and its number in the protocol.
var steps = [...]struct{ name, number string }{
	ReloadRequested: {"reload.requested", "1"},
	Planned:         {"connection.planned", "2"},
	MigrateSent:     {"migrate.sent", "3"},
	MigrateReceived: {"migrate.received", "4"},
	Paused:          {"outgoing.paused", "5"},
	WithAckSent:     {"with_ack.sent", "6"},
	WithAckReceived: {"with_ack.received", "6"},
	AckSent:         {"ack.sent", "7"},
	AckReceived:     {"ack.received", "7"},
	Drained:         {"buffer.drained", "8"},
	ReceiptSent:     {"receipt.sent", "8"},
	ReceiptReceived: {"receipt.received", "8"},
	ResumeSent:      {"resume.sent", "R1"},
	ResumeReceived:  {"resume.received", "R1"},
	AnswerSent:      {"answer.sent", "R2"},
	AnswerReceived:  {"answer.received", "R2"},
	Replayed:        {"replay.begun", "R3"},
}

// String returns the name, as it stands in traces.
func (s Step) String() string {
	if s > 0 && int(s) < len(steps) {
		return steps[s].name
	}
	return fmt.Sprintf("Step(%d)", uint8(s))
}

// Number returns the number of the step in the protocol, such as "3" or "R1".
func (s Step) Number() string {
	if s > 0 && int(s) < len(steps) {
		return steps[s].number
	}
	return "?"
}
