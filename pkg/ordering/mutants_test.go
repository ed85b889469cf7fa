package ordering

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// mutantVariable is set in the environment of a mutant's own test run.
const mutantVariable = "HOLDFAST_MUTANT"

// edit replaces a text that occurs exactly once in a file of the package.
type edit struct{ file, old, new string }

// mutant is the package with one rule of the protocol broken.
type mutant struct {
	rule  string
	edits []edit
}

var mutants = []mutant{
	{"messages via the target wait in the buffer: delivered at once", []edit{
		{"responder.go", "return r.take(f, r.Inbox.hold)", "return r.take(f, r.Inbox.accept)"},
	}},
	{"messages via the target wait in the buffer: dropped", []edit{
		{"responder.go", "return r.take(f, r.Inbox.hold)", "return r.drop(f, Taken)"},
	}},
	{"the buffer is released in order", []edit{{
		"inbox.go", "in.ready.push(in.buffer...)", "for i := range in.buffer { in.ready.push(in.buffer[len(in.buffer)-1-i]) }",
	}}},
	{"the buffer is released with the Ack", []edit{
		{"responder.go", "if err := r.Inbox.release(); err != nil {", "if err := error(nil); err != nil {"},
	}},
	{"the app pauses before MigrateWithAck", []edit{
		{"responder.go", "r.Outbox.Pause()", ""},
	}},
	{"the app resumes after the Ack", []edit{
		{"responder.go", "r.Outbox.Resume()", ""},
	}},
	{"MigrateWithAck goes via the previous path", []edit{
		{"responder.go", "r.sendControl(r.path, MigrateWithAck, f.Epoch)", "r.sendControl(path, MigrateWithAck, f.Epoch)"},
	}},
	{"MigrateWithAck goes via the previous path: the relay takes it from the target", []edit{
		{"responder.go", "r.sendControl(r.path, MigrateWithAck, f.Epoch)", "r.sendControl(path, MigrateWithAck, f.Epoch)"},
		{"initiator.go", "case path != i.previous:", "case path != i.path:"},
	}},
	{"Ack goes via the previous path", []edit{
		{"initiator.go", "i.sendControl(i.previous, Ack, i.epoch)", "i.sendControl(i.path, Ack, i.epoch)"},
	}},
	{"Ack goes via the previous path: the app takes it from the target", []edit{
		{"initiator.go", "i.sendControl(i.previous, Ack, i.epoch)", "i.sendControl(i.path, Ack, i.epoch)"},
		{"responder.go", "case path != r.path:", "case path != r.target:"},
	}},
	{"the relay sends via the target after Migrate", []edit{
		{"initiator.go", "i.previous, i.path = i.path, target", "i.previous = i.path"},
	}},
	{"the relay takes from the previous path until MigrateWithAck", []edit{
		{"initiator.go", "i.state = Migrating", "i.state, i.inEpoch, i.inPath = Migrating, i.epoch, i.path"},
	}},
	{"the relay takes from the target after MigrateWithAck", []edit{
		{"initiator.go", "i.inEpoch, i.inPath = i.epoch, i.path", ""},
	}},
	{"every move raises the epoch", []edit{
		{"initiator.go", "i.epoch = i.epoch.NextMove()", ""},
	}},
	{"the app takes over the epoch", []edit{
		{"responder.go", "r.epoch, r.path = r.nextEpoch, r.target", "r.path = r.target"},
	}},
	{"the app confirms a handoff", []edit{
		{"responder.go", "r.Inbox.confirm = true\n\tr.Outbox.Resume()", "r.Outbox.Resume()"},
	}},
	{"the app confirms Open", []edit{
		{"responder.go", "r.Inbox.confirm = true\n\treturn r", "return r"},
	}},
	{"the confirming receipt goes before messages", []edit{
		{"end.go", "if e.Inbox.confirm {", "if e.Inbox.confirm && !e.Outbox.Ready() {"},
	}},
	{"a handoff is open until it is confirmed", []edit{
		{"initiator.go", "i.state = Confirming", "i.state = Settled"},
	}},
	{"a receipt frees what it covers and nothing else", []edit{
		{"outbox.go", "for o.acked < consumed {", "for o.acked < o.sent {"},
	}},
	{"the window binds the sender", []edit{
		{"outbox.go", "if !o.HasRoom(m) {", "if false {"},
	}},
	{"a lone message fits any window", []edit{
		{"outbox.go", "o.acked == o.pushed || ", ""},
	}},
	{"what ends a direction takes nothing of the window", []edit{
		{"frame.go", "if m.ends() {\n\t\treturn 0\n\t}", ""},
	}},
	{"an end is done only when its peer can be", []edit{
		{"end.go", "e.Outbox.Ended() && e.Outbox.acked == e.Outbox.pushed", "e.Outbox.Ended() && e.Outbox.sent == e.Outbox.pushed"},
	}},
}

// TestMutants proves that the explorer can fail: it finds a counterexample in each mutant.
func TestMutants(t *testing.T) {
	if testing.Short() || os.Getenv(mutantVariable) != "" {
		t.Skip("builds the package once for each mutant")
	}
	for _, m := range mutants {
		t.Run(m.rule, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), "go", "test", "-vet=off", "-count=1", "-run=^TestExplorer$",
				"-ldflags=-s -w", "-overlay="+m.overlay(t), ".")
			cmd.Env = append(os.Environ(), mutantVariable+"=1")
			out, err := cmd.CombinedOutput()
			last := lastStep(out)
			if err == nil || last == "" {
				t.Fatalf("no counterexample: %v\n%s", err, out)
			}
			t.Logf("%s -> %s", m.rule, last)
		})
	}
}

var lastSteps = regexp.MustCompile(`counterexample of (\d+) steps:(?:\n +\d+\. .+)*\n( +\d+\. .+)\n( +violation: .+)`)

// lastStep returns the end of the shortest counterexample in the output of a run.
func lastStep(out []byte) string {
	var last string
	shortest := math.MaxInt
	for _, found := range lastSteps.FindAllSubmatch(out, -1) {
		if n, err := strconv.Atoi(string(found[1])); err == nil && n < shortest {
			shortest = n
			last = fmt.Sprintf("%s; %s", bytes.TrimSpace(found[2]), bytes.TrimSpace(found[3]))
		}
	}
	return last
}

// overlay writes the mutant and returns the name of a file that puts it over the package.
func (m mutant) overlay(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	replace := make(map[string]string)
	for _, e := range m.edits {
		source, err := filepath.Abs(e.file)
		if err != nil {
			t.Fatal(err)
		}
		replace[source] = filepath.Join(dir, e.file)
		text, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), e.old); n != 1 {
			t.Fatalf("%s has %q %d times, want once", e.file, e.old, n)
		}
		write(t, replace[source], strings.Replace(string(text), e.old, e.new, 1))
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "overlay.json")
	write(t, name, string(overlay))
	return name
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
