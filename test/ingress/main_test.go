// Package ingress_test puts real ingresses in front of the real programs: well configured, by the reference configurations
// of deploy/, and badly, to see that holdfast doctor finds each fault.
package ingress_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// bin is the folder of the programs.
var bin string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "holdfast-ingress-test")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	bin = dir
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

var buildOnce = sync.OnceValue(func() error {
	build := exec.Command("go", "build", "-o", bin, "./services/relay", "./services/appserver", "./cmd/holdfast")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building: %w\n%s", err, out)
	}
	return nil
})

// program returns the path of one of ours, built when it is first asked for.
func program(t *testing.T, name string) string {
	t.Helper()
	if err := buildOnce(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(bin, name)
}

// find returns the path of a real ingress.
func find(t *testing.T, name string) string {
	t.Helper()
	for _, path := range []string{name, "/usr/sbin/" + name, "/usr/local/sbin/" + name} {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	t.Skipf("SKIPPED: %s is not installed, so that nothing was tried with the real one; make setup installs it", name)
	return ""
}
