package ordering

import (
	"fmt"
	"testing"
)

// Every value of every enumeration has a name of its own, and what is no value prints all the same.
func TestNames(t *testing.T) {
	for typ, last := range map[string]struct {
		at   func(int) fmt.Stringer
		last int
	}{
		"Verdict":        {func(i int) fmt.Stringer { return Verdict(i) }, int(WrongPath)},
		"Rule":           {func(i int) fmt.Stringer { return Rule(i) }, int(RuleRewind)},
		"MessageKind":    {func(i int) fmt.Stringer { return MessageKind(i) }, int(Close)},
		"FrameKind":      {func(i int) fmt.Stringer { return FrameKind(i) }, int(Welcome)},
		"InitiatorState": {func(i int) fmt.Stringer { return InitiatorState(i) }, int(Dismissed)},
		"Refusal":        {func(i int) fmt.Stringer { return Refusal(i) }, int(TakenOver)},
		"ResponderState": {func(i int) fmt.Stringer { return ResponderState(i) }, int(Paused)},
	} {
		seen := make(map[string]bool)
		for i := range last.last {
			name := last.at(i + 1).String()
			if name == "" || name == fmt.Sprintf("%s(%d)", typ, i+1) || seen[name] {
				t.Errorf("%s %d is called %q", typ, i+1, name)
			}
			seen[name] = true
		}
		for _, i := range []int{0, last.last + 1} {
			if got, want := last.at(i).String(), fmt.Sprintf("%s(%d)", typ, i); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
	}
}

func TestEpoch(t *testing.T) {
	e := Epoch(3<<32 | 7)
	if e.Generation() != 3 || e.Move() != 7 || e.String() != "3.7" {
		t.Errorf("generation %d, move %d, %v", e.Generation(), e.Move(), e)
	}
	if n := e.NextMove(); n.Generation() != 3 || n.Move() != 8 || n <= e {
		t.Errorf("next move of %v is %v", e, n)
	}
	if FirstEpoch.String() != "1.1" {
		t.Errorf("first epoch %v", FirstEpoch)
	}
}

func TestProtocolErrorSaysRuleAndValues(t *testing.T) {
	if got, want := breach(RuleGap, "message %d", 7).Error(), "protocol rule Gap: message 7"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
