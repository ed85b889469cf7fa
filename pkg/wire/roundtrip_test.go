package wire

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
)

// The round trip is from when the ping was sent to its answer. Late, repeated and made-up answers say nothing.
func TestRoundTripOfAPing(t *testing.T) {
	const heartbeat = time.Minute
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, heartbeat)
		var took []time.Duration
		r.RoundTrip = func(d time.Duration) { took = append(took, d) }
		r.run(t)
		time.Sleep(heartbeat + 30*time.Millisecond)
		batches := r.soFar()
		ping := batches[len(batches)-1].ping
		if ping == nil || ping.GetAnswer() {
			t.Fatalf("the writer sent %v", ping)
		}
		answer := func(nonce uint64) {
			r.Heard()
			r.Ping(&holdfastv1.PingMessage{Nonce: nonce, Answer: true})
		}
		answer(ping.GetNonce() + 1)
		answer(ping.GetNonce())
		answer(ping.GetNonce())
		time.Sleep(heartbeat)
		answer(ping.GetNonce()) // there is a newer one under way
		time.Sleep(5 * time.Millisecond)
		answer(ping.GetNonce() + 1)
		if want := []time.Duration{30 * time.Millisecond, 35 * time.Millisecond}; !slices.Equal(took, want) {
			t.Errorf("round trips of %v, want %v", took, want)
		}
		synctest.Wait()
	})
}

// The trace context goes with the frame that begins a move, and with no other.
func TestTraceparentTravels(t *testing.T) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for kind, want := range map[ordering.FrameKind]string{
		ordering.Migrate: parent, ordering.Resume: parent, ordering.MigrateWithAck: "", ordering.Ack: "", ordering.Open: "",
	} {
		var b Batch
		b.Add(1, ordering.Frame{Kind: kind, Epoch: ordering.FirstEpoch}, Extra{Traceparent: parent})
		f := message(t, &b).GetFrames()[0]
		if got := f.GetMigrate().GetTraceparent(); got != want {
			t.Errorf("%v: %q travels, want %q", kind, got, want)
		}
		in, err := FrameOf(f)
		if err != nil || in.Step.Kind != kind {
			t.Errorf("%v came as %v, %v", kind, in.Step.Kind, err)
		}
	}
}
