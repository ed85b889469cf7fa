// Package clients_test runs the whole system, as real processes behind two real nginx, while the path of its clients is taken away:
// ingresses are reloaded, relays are killed and shut down, sockets are cut. A resumable client may not notice; a plain one is told
// why it was cut. Clients judge every message from outside.
package clients_test

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
	dir, err := os.MkdirTemp("", "holdfast-clients-")
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

// buildOnce builds the programs without the race detector, also where this test has it: so many clients need them to be fast.
var buildOnce = sync.OnceValue(func() error {
	build := exec.Command("go", "build", "-o", bin, "./services/relay", "./services/appserver", "./cmd/holdfast", "./test/clients/crowd")
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

// long returns the first, or the second when tests are to be short.
func long[T any](long, short T) T {
	if testing.Short() {
		return short
	}
	return long
}
