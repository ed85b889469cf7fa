package client

import (
	"log/slog"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// TestBudgetEcho: in the steady state the library allocates the payload that the user receives, and nothing else for a message there
// and the echo of it back.
func TestBudgetEcho(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates; make test runs the budgets without it as well")
	}
	config, err := (Config{Addresses: []string{"none"}, Logger: slog.New(slog.DiscardHandler)}).withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	c := newConnection(t.Context(), config)
	defer c.cancel(errOver)
	l := &link{conn: c, path: c.newPath(), ctx: c.life, wake: make(chan struct{}, 1)}
	welcome := &response{welcome: &holdfastv1.Welcome{
		ConnectionId: "1", ResumeToken: "token", WindowBytes: 256 << 10, MaxMessageBytes: 1 << 20,
	}}
	if err := c.welcomeLocked(l, welcome); err != nil {
		t.Fatal(err)
	}
	encoded, err := proto.Marshal(&holdfastv1.ConnectResponse{Messages: []*holdfastv1.ClientMessage{
		{Content: &holdfastv1.ClientMessage_Binary{Binary: make([]byte, 64)}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var buffer mem.Buffer = mem.SliceBuffer(encoded)
	seq, sent := uint64(0), []byte(nil)
	echo := func() {
		seq++
		if err := l.response.Decode(buffer); err != nil {
			t.Fatal(err)
		}
		l.response.first, l.response.consumed = seq, seq-1
		if err := c.receive(l, &l.response); err != nil {
			t.Fatal(err)
		}
		m, err := c.Receive(t.Context())
		if err == nil {
			err = c.Send(t.Context(), m)
		}
		if err != nil {
			t.Fatal(err)
		}
		c.pull(l, false)
		if sent, err = l.request.AppendTo(sent[:0]); err != nil || len(l.request.messages) != 1 {
			t.Fatalf("%d messages were sent, %v", len(l.request.messages), err)
		}
		l.request.reset()
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
