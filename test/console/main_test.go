// Package console_test drives the relay's console with a real browser, against the real relay and app server.
package console_test

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
	if folder, err = os.MkdirTemp("", "holdfast-console-"); err != nil {
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

// browserPath returns the browser, and skips the test aloud when there is none.
func browserPath(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("SKIPPED: no chromium is installed, so that nobody looked at the console; make setup installs it")
	return ""
}
