package ordering

import (
	"errors"
	"fmt"
)

// Rule names a rule of the protocol that a peer broke.
type Rule uint8

// The rules whose breach Receive reports. Each ends the logical connection and nothing else.
const (
	// RuleEpoch: an epoch that the initiator never gave out.
	RuleEpoch Rule = iota + 1
	// RuleGap: a sequence number beyond the next one.
	RuleGap
	// RuleReceipt: a receipt for what was never sent.
	RuleReceipt
	// RuleWindow: more unacknowledged bytes than the window.
	RuleWindow
	// RuleOrder: a frame that is not legal in the state of the connection.
	RuleOrder
	// RuleAfterClose: a message after the one that ended its direction.
	RuleAfterClose
	// RuleRewind: a resume from what was never sent, or from before what was acknowledged.
	RuleRewind
)

var ruleNames = [...]string{
	RuleEpoch: "Epoch", RuleGap: "Gap", RuleReceipt: "Receipt", RuleWindow: "Window", RuleOrder: "Order", RuleAfterClose: "AfterClose",
	RuleRewind: "Rewind",
}

// String returns the rule's name.
func (r Rule) String() string { return nameOf(ruleNames[:], int(r), "Rule") }

// ProtocolError says which rule a peer broke. The end that returned it is unchanged.
type ProtocolError struct {
	Detail string
	Rule   Rule
}

// Error returns the rule and the values.
func (e *ProtocolError) Error() string { return "protocol rule " + e.Rule.String() + ": " + e.Detail }

func breach(rule Rule, format string, args ...any) error {
	return &ProtocolError{Rule: rule, Detail: fmt.Sprintf(format, args...)}
}

var (
	// ErrNotMovable is returned by Initiator.Migrate and Initiator.Resume when the state or the target does not allow it.
	ErrNotMovable = errors.New("not movable")
	// ErrEnded is returned by Outbox.Push after a Close, and after a HalfClose for all but a Close.
	ErrEnded = errors.New("the direction was ended")
	// ErrWindowFull is returned by Outbox.Push while the window has no room.
	ErrWindowFull = errors.New("the window is full")
)
