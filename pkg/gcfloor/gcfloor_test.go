package gcfloor

import (
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPercent(t *testing.T) {
	for _, c := range []struct {
		floor, live uint64
		want        int
	}{
		{64 << 20, 64 << 20, 100}, {64 << 20, 32 << 20, 200}, {64 << 20, 1 << 30, 100}, {64 << 20, 0, 1600}, {0, 1, 100},
	} {
		if got := percent(c.floor, c.live); got != c.want {
			t.Errorf("floor %d, live %d: %d %%, want %d", c.floor, c.live, got, c.want)
		}
	}
}

var (
	kept, garbage []byte
	ran           bool
)

// Allocating the floor takes a collection or two, not one for each few MiB; and a heap that has grown is collected as usual.
func TestSet(t *testing.T) {
	if ran {
		t.Skip("Set may be called once")
	}
	ran = true
	t.Setenv("GOGC", "")
	defer debug.SetGCPercent(debug.SetGCPercent(usual))
	collections := func() uint32 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 64 {
			garbage = make([]byte, 1<<20)
		}
		runtime.ReadMemStats(&after)
		return after.NumGC - before.NumGC
	}
	usually := collections()
	Set(64 << 20)
	floored := collections()
	t.Logf("%d collections for 64 MiB, %d with the floor", usually, floored)
	if floored > 2 || usually <= floored {
		t.Errorf("%d collections for 64 MiB, %d with the floor", usually, floored)
	}
	kept = make([]byte, 256<<20)
	runtime.GC()
	for range 100 { // the cleanup runs some time after the collection
		runtime.Gosched()
		runtime.GC()
		if got := debug.SetGCPercent(-1); got == usual {
			return
		} else {
			debug.SetGCPercent(got)
		}
	}
	t.Error("a heap of four times the floor still grows by more than usual")
}

// A process that has just begun has nothing live; its first collection comes no later than the others.
func TestFirstCollection(t *testing.T) {
	const child = "HOLDFAST_GCFLOOR_CHILD"
	if os.Getenv(child) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFirstCollection$")
		cmd.Env = append(slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "GOGC=") }), child+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("in a process of its own: %v\n%s", err, out)
		}
		return
	}
	ran = true
	Set(Default)
	var m runtime.MemStats
	for allocated := 0; allocated < 2*Default; allocated += 1 << 20 {
		garbage = make([]byte, 1<<20)
	}
	if runtime.ReadMemStats(&m); m.NumGC == 0 {
		t.Errorf("no collection after %d bytes, twice the floor", 2*Default)
	}
}
