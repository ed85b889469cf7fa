package relay

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/appserver"
)

// handoff is a harness with one app server on ingresses a and b under a tap, and one client, whose connection is on a.
type handoff struct {
	*harness
	tap    *tap
	client *client
	id     string
	admin  holdfastv1.AdminServiceClient
}

func testHandoff(t *testing.T, handler appserver.Handler, run func(t *testing.T, h *handoff)) {
	synctest.Test(t, func(t *testing.T) {
		h := &handoff{harness: newHarness(t, nil), tap: newTap(t)}
		defer h.stop()
		_, stopA := h.appServer("app-1", handler, []string{"a", "b"}, h.tap.option())
		defer stopA()
		synctest.Wait()
		admin, closeAdmin := h.harness.admin()
		defer func() { _ = closeAdmin.Close() }()
		h.admin = admin
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // virtual: a message that is lost fails the test
		defer cancel()
		c, closeClient := h.harness.client(ctx, "c")
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
	testHandoff(t, echo, func(t *testing.T, h *handoff) {
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
	testHandoff(t, echo, func(t *testing.T, h *handoff) {
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

// slowEcho sends every message back a while after it came.
var slowEcho = appserver.HandlerFunc(func(ctx context.Context, c *appserver.Connection) error {
	for {
		m, err := c.Receive(ctx)
		if err != nil {
			return ignoreEnd(err)
		}
		time.Sleep(100 * time.Millisecond)
		if err := c.Send(ctx, m); err != nil {
			return ignoreEnd(err)
		}
	}
})

// What the handler sends during the handoff must wait for the Ack. Without the pause it goes via the previous path
// behind the barrier, where the relay does not take it any more.
func TestOutgoingTrafficIsPausedUntilAck(t *testing.T) {
	testHandoff(t, slowEcho, func(t *testing.T, h *handoff) {
		base := h.base(t)
		for range 3 { // messages 2 to 4 are with the handler before the handoff begins
			if err := h.client.send(); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		release := h.tap.hold("a", "out") // the barrier is slow
		wait := h.startMove(t)
		time.Sleep(time.Second) // the handler has sent its echoes by now
		if during := h.steps(base); strings.Contains(during, "b>") || strings.Contains(during, "a>") {
			t.Errorf("the app server sent during the pause: %s", during)
		}
		release()
		for range 3 {
			if err := h.client.receive(); err != nil {
				t.Fatal(err)
			}
		}
		wait()
		time.Sleep(time.Second)
		after := strings.Fields(h.steps(base))
		if want := "a>withack@2 a<ack@2 b>receipt4@2 b>data2@2 b>data3@2 b>data4@2"; strings.Join(after[:min(6, len(after))], " ") != want {
			t.Errorf("the steps after the pause:\n got %v\nwant %s", after, want)
		}
	})
}

// A receipt that is owed when a handoff begins goes via the target though nothing else does.
func TestOwedReceiptGoesViaTarget(t *testing.T) {
	testHandoff(t, echo, func(t *testing.T, h *handoff) {
		base := h.base(t)
		if err := h.client.exchange(1, 0); err != nil { // the relay owes a receipt for the echo, and waits a little with it
			t.Fatal(err)
		}
		synctest.Wait()
		h.move(t)
		time.Sleep(time.Second)
		if got, want := h.steps(base), "b<receipt2@2"; !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	})
}
