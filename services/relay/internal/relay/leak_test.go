package relay

import (
	"context"
	"runtime"
	"testing"
	"time"
)

// Nothing is left over when clients have come and gone: no goroutine, and no memory that grows with their number.
func TestConnectsLeaveNothingBehind(t *testing.T) {
	rounds, perRound := 50, 2000
	if testing.Short() || raceEnabled {
		rounds = 5
	}
	h := startHarness(t, onLoopback(t), onLoopback(t), nil)
	defer h.stop()
	_, stopServer := h.appServer("app-1", echo, []string{"a", "b"})
	defer stopServer()
	admin, closeAdmin := h.admin()
	defer func() { _ = closeAdmin.Close() }()
	waitAttached(t, admin, 2)

	round := func() {
		ctx, cancel := context.WithCancel(t.Context())
		f := newFleet(ctx, h, perRound)
		cancel()
		f.close()
		waitNoConnections(t, h)
	}
	round()
	goroutines, heap := measure()
	for range rounds - 1 {
		round()
	}
	goroutinesAfter, heapAfter := measure()
	t.Logf("%d connects: goroutines %d, then %d; heap %d KiB, then %d KiB", rounds*perRound, goroutines, goroutinesAfter, heap>>10, heapAfter>>10)
	if goroutinesAfter > goroutines+20 {
		t.Errorf("%d goroutines, %d before", goroutinesAfter, goroutines)
	}
	if heapAfter > heap+8<<20 {
		t.Errorf("%d KiB of heap, %d before", heapAfter>>10, heap>>10)
	}
}

func waitNoConnections(t *testing.T, h *harness) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		n := 0
		for range h.relay.registry.Connections() {
			n++
		}
		if n == 0 {
			return
		}
	}
	t.Fatal("connections are left")
}

// measure returns the goroutines and the live heap, in bytes, once they stand still.
func measure() (int, uint64) {
	goroutines := runtime.NumGoroutine()
	for range 100 {
		time.Sleep(20 * time.Millisecond)
		if n := runtime.NumGoroutine(); n == goroutines {
			break
		} else {
			goroutines = n
		}
	}
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return goroutines, m.HeapAlloc
}
