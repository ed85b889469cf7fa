// Package browser_test has a page in a real browser use the JavaScript client library, against real relays, a real app server
// and real ingresses, while those are reloaded and killed.
package browser_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if folder != "" {
			_ = os.RemoveAll(folder)
		}
		os.Exit(code)
	}))
}

// folder is where the programs were built, empty when none were.
var folder string

// programs builds the programs, once, and returns the folder that they are in.
var programs = sync.OnceValues(func() (string, error) {
	var err error
	if folder, err = os.MkdirTemp("", "holdfast-browser-"); err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", folder+string(filepath.Separator),
		"./services/relay", "./services/appserver", "./cmd/holdfast")
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building: %w\n%s", err, out)
	}
	return folder, nil
})

// find returns the path of a program that others made, under the first of its names, and skips the test aloud when there is none.
func find(t *testing.T, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skipf("SKIPPED: %s is not installed, so that no page held a connection through real faults; make setup installs it", names[0])
	return ""
}
