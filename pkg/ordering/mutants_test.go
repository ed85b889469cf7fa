package ordering

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
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

// TestMutants proves that the explorer can fail: it finds a counterexample in each mutant. Its log is a table of the
// rules and of the step at which the breach of each was caught.
func TestMutants(t *testing.T) {
	runMutants(t, "^TestMutant$", slices.Concat(moveMutants, lossMutants), equalMutants)
}

// TestLegMutants does so for the explorer of the whole chain.
func TestLegMutants(t *testing.T) {
	runMutants(t, "^TestLegMutant$", slices.Concat(legMutants, clientMutants), guardMutants)
}

// TestGuardMutants proves that the unit tests find what no run of the explorer can.
func TestGuardMutants(t *testing.T) {
	skipMutants(t)
	for _, m := range guardMutants {
		t.Run(m.rule, func(t *testing.T) {
			t.Parallel()
			out, err := m.run(t, "^Test(Adopt|Client|Inbox|Initiator|Outbox|Responder)")
			failed := failure.FindSubmatch(out)
			if err == nil || failed == nil {
				t.Fatalf("no test fails: %v: %s", err, out)
			}
			t.Logf("caught by %s", failed[1])
		})
	}
}

var failure = regexp.MustCompile(`--- FAIL: (\S+)`)

func skipMutants(t *testing.T) {
	t.Helper()
	if testing.Short() || raceEnabled || os.Getenv(mutantVariable) != "" {
		t.Skip("builds the package once for each mutant")
	}
}

// runMutants has the test, which explores, fail in each of the broken mutants, and in none of those that are equal.
func runMutants(t *testing.T, test string, broken, equals []mutant) {
	t.Helper()
	skipMutants(t)
	mutants := slices.Concat(broken, equals)
	caught := make([]string, len(mutants))
	t.Run("group", func(t *testing.T) {
		for n, m := range mutants {
			equal := n >= len(broken)
			t.Run(m.rule, func(t *testing.T) {
				t.Parallel()
				out, err := m.run(t, test)
				if caught[n] = describeCatch(out); (caught[n] == "") != equal || (err == nil) != equal {
					t.Errorf("caught: %q, want nothing: %v\n%v: %s", caught[n], equal, err, out)
				}
			})
		}
	})
	for n, m := range mutants {
		t.Logf("%-80s | %s", m.rule, caught[n])
	}
}

// run runs the test of the mutant.
func (m mutant) run(t *testing.T, test string) ([]byte, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "test", "-vet=off", "-count=1", "-run="+test,
		"-ldflags=-s -w", "-overlay="+m.overlay(t), ".")
	cmd.Env = append(os.Environ(), mutantVariable+"=1")
	return cmd.CombinedOutput()
}

// describeCatch returns where the run found a counterexample, or nothing when it found none.
func describeCatch(out []byte) string {
	found := counterexample.FindSubmatch(out)
	if found == nil {
		return ""
	}
	return fmt.Sprintf("%s: %s steps, the last: %s; %s", found[1], found[2], bytes.TrimSpace(found[3]), bytes.TrimSpace(found[4]))
}

var counterexample = regexp.MustCompile(`plan "(.+)": counterexample of (\d+) steps:(?:\n +\d+\. .+)*\n +\d+\. (.+)\n +(violation: .+)`)

// TestMutant is what a mutant runs. One counterexample is enough.
func TestMutant(t *testing.T) {
	if os.Getenv(mutantVariable) == "" {
		t.Skip("for TestMutants to run")
	}
	for _, p := range reducedPlans {
		if _, err := explore(&p); err != nil {
			t.Fatalf("plan %q: %v", p.name, err)
		}
	}
}

// TestLegMutant is what a mutant of the client's leg runs.
func TestLegMutant(t *testing.T) {
	if os.Getenv(mutantVariable) == "" {
		t.Skip("for TestLegMutants to run")
	}
	for _, p := range reducedLegPlans {
		if _, err := exploreLeg(&p); err != nil {
			t.Fatalf("plan %q: %v", p.name, err)
		}
	}
}

// overlay writes the mutant and returns the name of a file that puts it over the package.
func (m mutant) overlay(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	texts := make(map[string]string)
	for _, e := range m.edits {
		if texts[e.file] == "" {
			text, err := os.ReadFile(e.file)
			if err != nil {
				t.Fatal(err)
			}
			texts[e.file] = string(text)
		}
		if n := strings.Count(texts[e.file], e.old); n != 1 {
			t.Fatalf("%s has %q %d times, want once", e.file, e.old, n)
		}
		texts[e.file] = strings.Replace(texts[e.file], e.old, e.new, 1)
	}
	replace := make(map[string]string)
	for file, text := range texts {
		source, err := filepath.Abs(file)
		if err != nil {
			t.Fatal(err)
		}
		replace[source] = filepath.Join(dir, file)
		write(t, replace[source], text)
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
