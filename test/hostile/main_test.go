// Package hostile_test attacks the running programs: with malformed input, wrong identities, bad tokens, spoofed headers, slow
// and half-open connections, and floods. Each attack gets its typed refusal; clients that behave lose nothing beside it.
package hostile_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

// programs is the folder of the relay, the app server and the tool.
var programs string

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if programs != "" {
			_ = os.RemoveAll(programs)
		}
		os.Exit(code)
	}))
}

// build builds the programs, once.
func build(t *testing.T) {
	t.Helper()
	if programs != "" {
		return
	}
	dir, err := os.MkdirTemp("", "holdfast-hostile-")
	if err != nil {
		t.Fatal(err)
	}
	programs = dir
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", dir+string(filepath.Separator),
		"../../services/relay", "../../services/appserver", "../../cmd/holdfast").CombinedOutput()
	if err != nil {
		t.Fatal(fmt.Errorf("%w: %s", err, out))
	}
}
