// Package mutants_test proves that the tests of the relay and the app server together can fail: each rule of the
// handoff that is taken out of the shipped source is missed by a test that runs the real thing.
package mutants_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const relayTests = "./services/relay/internal/relay"

var mutants = []struct {
	rule, file, old, new string
	// caughtBy is the test that must fail.
	caughtBy string
}{
	{
		"messages via the target wait in the buffer", "pkg/ordering/responder.go",
		"return r.take(f, r.Inbox.hold)", "return r.take(f, r.Inbox.accept)",
		"TestMessagesViaTargetAreBufferedUntilAck",
	},
	{
		"the app server pauses its outgoing traffic", "pkg/ordering/responder.go",
		"r.Outbox.Pause()", "",
		"TestOutgoingTrafficIsPausedUntilAck",
	},
	{
		"the barrier goes via the previous path", "pkg/ordering/responder.go",
		"r.sendControl(r.path, Frame{Kind: MigrateWithAck", "r.sendControl(path, Frame{Kind: MigrateWithAck",
		"TestHandoffStepsInOrder",
	},
	{
		"a lost path parks its connections", "services/relay/internal/registry/registry.go",
		"c.Lost(s)", "_ = c",
		"TestLostServerConnection",
	},
	{
		"an unanswered move is given up", "services/relay/internal/evacuation/evacuator.go",
		"m.connection.GiveUp()", "",
		"TestMigrationTimeout",
	},
	{
		"a resume replays from what the peer has", "pkg/ordering/end.go",
		"if err := e.Outbox.Rewind(received); err != nil {", "if err := error(nil); err != nil {",
		"TestLossInAHandoff",
	},
	{
		"what was not confirmed is opened again", "pkg/ordering/initiator.go",
		"if !i.confirmed {", "if false {",
		"TestUnconfirmedConnectionIsOpenedAgain",
	},
	{
		"the target of an unanswered move is avoided", "services/relay/internal/evacuation/evacuator.go",
		"m.target.Suspect(m.began)", "",
		"TestMigrationTimeout",
	},
}

func TestMutantsAreCaught(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the relay once for each mutant")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutants {
		t.Run(m.rule, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "go", "test", "-vet=off", "-count=1", "-timeout=60s",
				"-run=^"+m.caughtBy+"$", "-overlay="+overlay(t, filepath.Join(root, m.file), m.old, m.new), relayTests)
			cmd.Dir = root
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Fatalf("%s passed without the rule", m.caughtBy)
			}
			if !strings.Contains(string(out), "--- FAIL: "+m.caughtBy) && !strings.Contains(string(out), "panic: ") {
				t.Fatalf("%s did not run:\n%s", m.caughtBy, out)
			}
			t.Logf("caught by %s", m.caughtBy)
		})
	}
}

// overlay writes the file with the text replaced, and returns the name of a file that has the build use that instead.
func overlay(t *testing.T, file, old, replacement string) string {
	t.Helper()
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), old); n != 1 {
		t.Fatalf("%q occurs %d times in %s; mend the mutant", old, n, file)
	}
	dir := t.TempDir()
	mutated := filepath.Join(dir, filepath.Base(file))
	if err := os.WriteFile(mutated, []byte(strings.Replace(string(source), old, replacement, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": {file: mutated}})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(name, list, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
