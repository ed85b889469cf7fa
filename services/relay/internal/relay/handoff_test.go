package relay

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// handoff is a harness with one app server on ingresses a and b under a tap, and one client, whose connection is on a.
type handoff struct {
	*harness
	tap    *tap
	client *client
	id     string
	admin  holdfastv1.AdminServiceClient
}

func testHandoff(t *testing.T, run func(t *testing.T, h *handoff)) {
	synctest.Test(t, func(t *testing.T) {
		h := &handoff{harness: newHarness(t, nil), tap: newTap()}
		defer h.stop()
		_, stopA := h.appServer("app-1", echo, []string{"a", "b"}, h.tap.option())
		defer stopA()
		synctest.Wait()
		admin, closeAdmin := h.harness.admin()
		defer func() { _ = closeAdmin.Close() }()
		h.admin = admin
		c, closeClient := h.harness.client(t.Context(), "c")
		defer closeClient()
		h.client = c
		if err := c.exchange(1, 0); err != nil {
			t.Fatal(err)
		}
		list, err := admin.ListClientConnections(t.Context(), &holdfastv1.ListClientConnectionsRequest{})
		if err != nil || len(list.GetClientConnections()) != 1 {
			t.Fatalf("list: %v, %v", list, err)
		}
		h.id = list.GetClientConnections()[0].GetConnectionId()
		if list.GetClientConnections()[0].GetServerIngress() != "a" {
			h.move(t)
		}
		time.Sleep(time.Second) // virtual: all receipts are out
		h.tap.take()
		run(t, h)
	})
}

func (h *handoff) move(t *testing.T) {
	t.Helper()
	if _, err := h.admin.MoveConnection(t.Context(), &holdfastv1.MoveConnectionRequest{ConnectionId: h.id}); err != nil {
		t.Fatal(err)
	}
}

// startMove begins a move in the background; the returned function waits for its end.
func (h *handoff) startMove(t *testing.T) (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.move(t)
	}()
	synctest.Wait()
	return func() { <-done }
}

// steps returns the notes as one line, with the epochs counted from the first one that is there.
func (h *handoff) steps(base int) string {
	notes := h.tap.take()
	if base == 2 {
		for i := range notes {
			notes[i] = strings.NewReplacer("@3", "@2", "@2", "@1").Replace(notes[i])
		}
	}
	return strings.Join(notes, " ")
}

func (h *handoff) base(t *testing.T) int {
	t.Helper()
	list, err := h.admin.ListClientConnections(t.Context(), &holdfastv1.ListClientConnectionsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if list.GetClientConnections()[0].GetEpoch() == "1.2" {
		return 2
	}
	return 1
}

func TestHandoffStepsInOrder(t *testing.T) {
	testHandoff(t, func(t *testing.T, h *handoff) {
		base := h.base(t)
		h.move(t)
		time.Sleep(time.Second)
		// Steps 3, 6, 7 and 8 of the protocol, each on its path.
		if got, want := h.steps(base), "b<migrate@2 a>withack@2 a<ack@2 b>receipt1@2"; got != want {
			t.Errorf("steps:\n got %s\nwant %s", got, want)
		}
	})
}

// The previous path is slow towards the app server, so that messages come via the target before those that were sent
// before them: they must be buffered. Without the buffer the echoes come out of order, or messages are lost.
func TestMessagesViaTargetAreBufferedUntilAck(t *testing.T) {
	testHandoff(t, func(t *testing.T, h *handoff) {
		base := h.base(t)
		release := h.tap.hold("a", "in")
		for range 3 { // messages 2 to 4 are under way via the previous path
			if err := h.client.send(); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		wait := h.startMove(t)
		for range 3 { // messages 5 to 7 go via the target
			if err := h.client.send(); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		before := h.steps(base)
		for _, want := range []string{"b<migrate@2", "b<data5@2", "b<data7@2"} {
			if !strings.Contains(before, want) {
				t.Errorf("before the Ack: no %s in %s", want, before)
			}
		}
		release()
		for range 6 {
			if err := h.client.receive(); err != nil {
				t.Fatal(err)
			}
		}
		wait()
		time.Sleep(time.Second)
		after := strings.Fields(h.steps(base))
		ack, old := slices.Index(after, "a<ack@2"), slices.Index(after, "a<data4@1")
		if old < 0 || ack < old {
			t.Errorf("the Ack must come after the last message via the previous path: %v", after)
		}
	})
}

// The previous path is slow towards the relay: what the app server sends during the handoff must wait for the Ack.
// Without the pause it overtakes what was sent before via the previous path, or goes there behind the barrier.
func TestOutgoingTrafficIsPausedUntilAck(t *testing.T) {
	testHandoff(t, func(t *testing.T, h *handoff) {
		base := h.base(t)
		release := h.tap.hold("a", "out")
		for range 3 { // the echoes of messages 2 to 4 stand before the gate of the previous path
			if err := h.client.send(); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		wait := h.startMove(t)
		for range 3 { // messages 5 to 7 arrive via the target and are buffered
			if err := h.client.send(); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		if before := h.steps(base); strings.Contains(before, "b>") {
			t.Errorf("the app server sent via the target before the Ack: %s", before)
		}
		release()
		for range 6 {
			if err := h.client.receive(); err != nil {
				t.Fatal(err)
			}
		}
		wait()
		time.Sleep(time.Second)
		after := strings.Fields(h.steps(base))
		barrier := slices.Index(after, "a>withack@2")
		if barrier < 0 {
			t.Fatalf("no barrier: %v", after)
		}
		for _, note := range after[barrier+1:] {
			if strings.HasPrefix(note, "a>") {
				t.Errorf("the app server sent via the previous path behind its barrier: %v", after)
			}
		}
	})
}

var _ grpc.ClientStream = (*tappedStream)(nil)
