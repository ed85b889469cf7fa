package appserver

import (
	"context"
	"log/slog"
	"testing"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
)

// TestBudgetEcho: in the steady state the library allocates the payload that the handler receives, and nothing else for a message
// there and the echo of it back.
func TestBudgetEcho(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates; make test runs the budgets without it as well")
	}
	const id = 42
	s, err := New(Config{
		Relays: []string{"none"}, Application: "echo", Logger: slog.New(slog.DiscardHandler),
		Handler: HandlerFunc(func(ctx context.Context, _ *Connection) error { // the test is the handler
			<-ctx.Done()
			return nil
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	life, end := context.WithCancel(t.Context())
	defer s.handlers.Wait()
	defer end()
	sc := &serverConn{
		server: s, life: life, log: s.config.Logger, path: 1, window: 256 << 10, maxMessage: 1 << 20, heartbeat: time.Hour,
		writer: wire.NewWriter(1, time.Hour, nil),
	}
	open, err := wire.FrameOf(&holdfastv1.Frame{
		ConnectionId: id, Epoch: uint64(ordering.FirstEpoch), Body: &holdfastv1.Frame_Open{Open: &holdfastv1.OpenConnectionMessage{}},
	})
	if err == nil {
		err = sc.dispatch(&open)
	}
	if err != nil {
		t.Fatal(err)
	}
	c, _ := s.connection(id)
	lane, payload := c.uses[0].lane, make([]byte, 64)
	var batch wire.Batch
	seq := uint64(0)
	echo := func() {
		seq++
		f := wire.Frame{Connection: id, Step: ordering.Frame{
			Kind: ordering.Data, Epoch: ordering.FirstEpoch, Seq: seq, Consumed: seq - 1,
			Message: ordering.Message{Kind: ordering.Binary, Payload: payload},
		}}
		if err := sc.dispatch(&f); err != nil {
			t.Fatal(err)
		}
		m, err := c.Receive(life)
		if err == nil {
			err = c.Send(life, m)
		}
		if err != nil {
			t.Fatal(err)
		}
		batch.Reset()
		for c.Pull(lane, &batch, 16) {
			continue
		}
		if batch.Frames() == 0 {
			t.Fatal("no echo was sent")
		}
	}
	for range 100 { // room for everything is made
		echo()
	}
	if n := testing.AllocsPerRun(1000, echo); n > 1 {
		t.Errorf("%v allocations for a message and its echo; the budget is 1", n)
	} else {
		t.Logf("%v allocations for a message and its echo", n)
	}
}
