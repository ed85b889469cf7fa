// Package faults_test runs the whole system, as real processes, while the paths between the relay and the app server
// are cut, stalled, delayed, throttled and black-holed. Clients judge every message from outside.
package faults_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if built != "" {
			_ = os.RemoveAll(built)
		}
		os.Exit(code)
	}))
}

// TestFaults breaks paths in every way that there is. No client may notice, but by a pause.
func TestFaults(t *testing.T) {
	t.Run("none", testNone)
	t.Run("slow", testSlow)
	t.Run("proxies", testProxies)
	t.Run("nginx-sigkill", testNginx)
	t.Run("black-hole", testBlackHole)
	t.Run("all-lost-and-back", testAllLostAndBack)
	t.Run("all-lost", testAllLost)
}

var (
	// built is the folder of the programs, empty when none were built.
	built string
	// fast and checked build the programs, once. The checked ones are for tests with fewer clients: where this test has
	// the race detector, they have it too.
	fast    = sync.OnceValues(func() (string, error) { return build("fast", "./cmd/holdfast") })
	checked = sync.OnceValues(func() (string, error) {
		if !raceDetector {
			return fast()
		}
		return build("checked", "-race")
	})
)

// build builds the relay and the app server, and what else it is told, and returns the folder that they are in.
func build(name string, more ...string) (string, error) {
	if built == "" {
		var err error
		if built, err = os.MkdirTemp("", "holdfast-faults-"); err != nil {
			return "", err
		}
	}
	dir := filepath.Join(built, name) + string(filepath.Separator)
	args := slices.Concat([]string{"build", "-o", dir}, more, []string{"./services/relay", "./services/appserver"})
	cmd := exec.Command("go", args...)
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building: %w\n%s", err, out)
	}
	return dir, nil
}
