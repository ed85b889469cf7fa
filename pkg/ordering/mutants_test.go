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
	if testing.Short() || raceEnabled || os.Getenv(mutantVariable) != "" {
		t.Skip("builds the package once for each mutant")
	}
	mutants := slices.Concat(moveMutants, lossMutants, equalMutants)
	caught := make([]string, len(mutants))
	t.Run("group", func(t *testing.T) {
		for n, m := range mutants {
			equal := n >= len(mutants)-len(equalMutants)
			t.Run(m.rule, func(t *testing.T) {
				t.Parallel()
				out, err := m.run(t)
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

// run has the explorer run over the mutant.
func (m mutant) run(t *testing.T) ([]byte, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "test", "-vet=off", "-count=1", "-run=^TestMutant$",
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
