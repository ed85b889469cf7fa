package admission

import (
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCounts(t *testing.T) {
	t.Parallel()
	g := New(config.Limits{MaxConnections: 4, MaxConnectionsPerAddress: 2, MaxConnectionsPerIdentity: 1})
	for i, c := range []struct {
		guest Guest
		want  string
	}{
		{Guest{"a", "x"}, ""},
		{Guest{"a", "x"}, "of this identity"},
		{Guest{"a", "y"}, ""},
		{Guest{"a", "z"}, "from this address"},
		{Guest{}, ""},
		{Guest{}, ""},
		{Guest{"b", "b"}, "in all"},
	} {
		err := g.Admit(c.guest)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("guest %d: %v", i, err)
		case c.want != "" && (wire.ErrorReasonOf(err) != "TOO_MANY_CONNECTIONS" || !strings.Contains(err.Error(), c.want)):
			t.Errorf("guest %d: got %v, want one that says %q", i, err, c.want)
		}
	}
	g.Leave(Guest{"a", "x"})
	if err := g.Admit(Guest{"a", "x"}); err != nil {
		t.Errorf("after one has left: %v", err)
	}
	for _, guest := range []Guest{{"a", "x"}, {"a", "y"}, {}, {}} {
		g.Leave(guest)
	}
	if g.all != 0 || len(g.byHost) != 0 || len(g.byIdentities) != 0 {
		t.Errorf("all have left, and it holds %d, %v, %v", g.all, g.byHost, g.byIdentities)
	}
}

// Whoever takes the place of another is heard beyond the limits, but not any number of them at once.
func TestPlead(t *testing.T) {
	t.Parallel()
	g := New(config.Limits{MaxConnectionsPerIdentity: 1})
	guest := Guest{"a", "x"}
	if err := g.Admit(guest); err != nil {
		t.Fatal(err)
	}
	for i := range maxPleading {
		if g.Admit(guest) == nil || !g.Plead(guest) {
			t.Fatalf("plea %d is not heard, or not needed", i)
		}
	}
	if g.Plead(guest) {
		t.Error("one too many is heard")
	}
	g.Pleaded()
	if !g.Plead(guest) {
		t.Error("the place of one that was heard is not free")
	}
	for range maxPleading + 2 {
		g.Leave(guest)
	}
	if g.all != 0 || len(g.byIdentities) != 0 {
		t.Errorf("all have left, and it holds %d, %v", g.all, g.byIdentities)
	}
}

func TestNoLimits(t *testing.T) {
	t.Parallel()
	g := New(config.Limits{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				if err := g.Knock(); err != nil {
					t.Error(err)
				}
				if err := g.Admit(Guest{"a", "x"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if g.all != 8000 {
		t.Errorf("%d are in", g.all)
	}
}

func TestRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := New(config.Limits{ConnectionRate: 10})
		knock := func(n int) (in int) {
			for range n {
				if err := g.Knock(); err == nil {
					in++
				} else if wire.ErrorReasonOf(err) != "CONNECTION_RATE" {
					t.Error(err)
				}
			}
			return in
		}
		if in := knock(30); in != 10 {
			t.Errorf("%d of 30 at once were let in", in)
		}
		time.Sleep(time.Second / 2)
		if in := knock(30); in != 5 {
			t.Errorf("%d were let in after half a second", in)
		}
	})
}

// Above a limit nobody new is let in; below it again they are. Garbage does not count.
func TestOverload(t *testing.T) {
	g := New(config.Limits{MaxRetainedBytes: 100})
	for retained, want := range map[int64]string{100: "", 101: "OVERLOADED"} {
		g.Look(retained)
		if err := g.Overloaded(); wire.ErrorReasonOf(err) != want {
			t.Errorf("%d bytes retained: %v", retained, err)
		}
	}
	const limit = 128 << 20
	g = New(config.Limits{MaxMemoryBytes: limit})
	look := func() string {
		g.Look(0)
		return wire.ErrorReasonOf(g.Overloaded())
	}
	for range limit >> 20 {
		memory = make([]byte, 2<<20) // garbage a moment later
	}
	if got := look(); got != "" {
		t.Errorf("with garbage: %q", got)
	}
	memory = make([]byte, limit)
	runtime.GC()
	if got := look(); got != "OVERLOADED" {
		t.Errorf("with as much in use as is allowed: %q", got)
	}
	memory = nil
	runtime.GC()
	if got := look(); got != "" {
		t.Errorf("when it is over: %q", got)
	}
}

var memory []byte
