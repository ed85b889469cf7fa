package ordering

import (
	"strings"
	"testing"
)

// An app that lets go of a connection must remember its name for a while: the relay opens again what it has not heard of,
// and the app would deliver all of it a second time. (The other plans have it remember.)
func TestAppMustRememberWhatItEnded(t *testing.T) {
	p := plan{messages: [2][]Message{smalls('a', 1, []MessageKind{Close})}, cuts: 1, window: wideWindow, forget: true, amnesia: true}
	_, err := explore(&p)
	if err == nil || !strings.Contains(err.Error(), "violation: app took \"a\" as message 3") {
		t.Fatalf("%v, want the app to take the first message again", err)
	}
	t.Log(err)
}

// A relay that lets go of an end must remember its generation for a while: an end that asks for the same one would take what was
// sent to that one for its own.
func TestRelayMustRememberGenerations(t *testing.T) {
	p := legPlan{down: smalls('p', 1, nil), joins: 1, linkCuts: 1, paths: 3, window: wideWindow, amnesia: true}
	_, err := exploreLeg(&p)
	if err == nil || !strings.Contains(err.Error(), "protocol rule") {
		t.Fatalf("%v, want a relay's end to take another's frame for its own", err)
	}
	t.Log(err)
}
