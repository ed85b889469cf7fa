package ingress

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Streams go to the relays in turn, also those of one client connection.
func TestStreamsGoToTheRelaysInTurn(t *testing.T) {
	one, two := startRelay(t, 0), startRelay(t, 0)
	in := startBalanced(t, time.Second, one.address, two.address)
	conn := dial(t, in.address)
	for n := range 10 {
		open(t, conn).exchange(t, n)
	}
	if a, b := one.streams.Load(), two.streams.Load(); a != 5 || b != 5 {
		t.Errorf("%d and %d streams; want 5 and 5", a, b)
	}
}

// A relay that cannot be reached costs no stream while there is another one.
func TestRelayThatIsAwayIsPassedOver(t *testing.T) {
	gone, there := startRelay(t, 0), startRelay(t, 0)
	in := startBalanced(t, time.Second, gone.address, there.address)
	conn := dial(t, in.address)
	for n := range 4 {
		open(t, conn).exchange(t, n)
	}
	gone.server.Stop()
	for n := range 10 {
		open(t, conn).exchange(t, n)
	}
	if a, b := gone.streams.Load(), there.streams.Load(); a != 2 || b != 12 {
		t.Errorf("%d and %d streams; want 2 and 12", a, b)
	}
	there.server.Stop()
	if _, err := open(t, conn).Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("with no relay: got %v, want UNAVAILABLE", err)
	}
}
