// Package js_test runs the tests of the JavaScript client library, and holds it to what Go says of the wire.
package js_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// leastTests is fewer than the library has: a run that sees fewer has not found them.
const leastTests = 100

// tool returns the path of a program, and skips the test aloud when there is none.
func tool(t *testing.T, name, without string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("SKIPPED: no %s is installed, so that %s; make setup installs it", name, without)
	}
	return path
}

// run runs a program in the library's folder and returns what it wrote, and the error that it ended with.
func run(t *testing.T, path string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = library
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestLibrary(t *testing.T) {
	node := tool(t, "node", "nobody tested the JavaScript client library")
	files, err := filepath.Glob(filepath.Join(library, "test", "*.test.js"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no test files: %v", err)
	}
	args := []string{"--test", "--test-reporter=tap"}
	for _, f := range files {
		args = append(args, filepath.Join("test", filepath.Base(f)))
	}
	out, err := run(t, node, args...)
	passed, ran := count(t, out, "pass"), count(t, out, "tests")
	if err != nil || ran < leastTests || passed != ran {
		t.Fatalf("node ended with %v; %d of %d tests passed, want all of at least %d:\n%s", err, passed, ran, leastTests, failures(out))
	}
	t.Logf("%d tests passed", passed)
}

// failures returns what node says of the tests that failed.
func failures(out string) string {
	return strings.Join(regexp.MustCompile(`(?ms)^not ok.*?^  \.\.\.$`).FindAllString(out, -1), "\n")
}

// count returns a number of node's summary.
func count(t *testing.T, out, name string) int {
	t.Helper()
	found := regexp.MustCompile(`(?m)^# ` + name + ` (\d+)$`).FindStringSubmatch(out)
	if found == nil {
		t.Fatalf("node does not say how many tests there were:\n%s", out)
	}
	n, err := strconv.Atoi(found[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// An application is compiled against the types; what the types are to refuse is in it too, marked as such.
func TestTypes(t *testing.T) {
	out, err := run(t, tool(t, "tsc", "nobody compiled against the types of the JavaScript client library"), "--project", "test")
	if err != nil {
		t.Errorf("tsc: %v\n%s", err, out)
	}
}

// A browser loads the library's modules as they are: each import is of a file beside it.
func TestLibraryNeedsNothing(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(library, "*.js"))
	if err != nil || len(files) < 5 {
		t.Fatalf("%d modules were found: %v", len(files), err)
	}
	beside := regexp.MustCompile(`^"\./[a-z]+\.js"$`)
	for _, f := range files {
		for _, imported := range imports(t, f) {
			if !beside.MatchString(imported) {
				t.Errorf("%s imports %s; only files beside it are allowed", f, imported)
			}
		}
	}
}

func imports(t *testing.T, file string) []string {
	t.Helper()
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, m := range regexp.MustCompile(`(?m)\b(?:from\s*|import\s*\(?\s*)("[^"]*")`).FindAllStringSubmatch(string(source), -1) {
		list = append(list, m[1])
	}
	return list
}
