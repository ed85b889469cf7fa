package logical

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/payload"
	"github.com/holdfast/holdfast/services/relay/internal/serverconn"
)

// loop is the way of messages through the relay, but for gRPC: what the readers and writers of its streams call.
type loop struct {
	*rig
	lane     *wire.Lane
	batch    wire.Batch
	frame    wire.Frame
	taken    []ordering.Message
	payload  []byte
	up, down uint64 // the last message each way
}

func newLoop(t *testing.T, size int) *loop {
	r := settledWith(t, &serverconn.Conn{Path: 1, ID: "1", Window: 256 << 10, Writer: wire.NewWriter(1, time.Hour, nil)})
	return &loop{rig: r, lane: r.uses[0].lane, payload: []byte(strings.Repeat("x", size))}
}

// fromClient takes n messages of the client to the app server, which consumes them.
func (l *loop) fromClient(n int) {
	for range n {
		if err := l.Push(l.t.Context(), ordering.Message{Kind: ordering.Binary, Payload: l.payload}); err != nil {
			l.t.Fatal(err)
		}
	}
	l.write()
	l.up += uint64(n)
	l.frame = wire.Frame{Connection: l.ID, Step: ordering.Frame{Kind: ordering.Receipt, Epoch: ordering.FirstEpoch, Consumed: l.up}}
	l.take()
}

// fromServer takes n messages of the app server to the client, whose transport takes them.
func (l *loop) fromServer(n int) {
	for range n {
		l.down++
		l.frame = wire.Frame{Connection: l.ID, Step: ordering.Frame{
			Kind: ordering.Data, Epoch: ordering.FirstEpoch, Seq: l.down, Message: ordering.Message{Kind: ordering.Binary, Payload: l.payload},
		}}
		l.take()
	}
	for left := n; left > 0; left -= len(l.taken) {
		l.taken, _, _ = l.Take(l.t.Context(), nil, l.taken[:0])
		for i := range l.taken {
			payload.Free(l.taken[i].Payload)
			l.taken[i] = ordering.Message{}
		}
		l.Consume(len(l.taken))
	}
	l.write()
}

// write fills batches until nothing stands ready.
func (l *loop) write() {
	for more := true; more; {
		l.batch.Reset()
		more = l.Pull(l.lane, &l.batch, 1<<10)
	}
}

func (l *loop) take() {
	if err := l.Receive(l.paths[1], &l.frame); err != nil {
		l.t.Fatal(err)
	}
}

// TestBudgetForwarding: in the steady state the relay allocates nothing for a message on its way through.
func TestBudgetForwarding(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector pools drop what they are given; make test runs the budgets without it as well")
	}
	for _, size := range []int{64, 1 << 10} {
		for _, n := range []int{1, 32} {
			l := newLoop(t, size)
			for range 100 { // room for everything is made
				l.fromClient(n)
				l.fromServer(n)
			}
			up := testing.AllocsPerRun(1000, func() { l.fromClient(n) })
			down := testing.AllocsPerRun(1000, func() { l.fromServer(n) })
			t.Logf("%d messages of %d bytes: %v allocations up, %v down", n, size, up, down)
			if up != 0 || down != 0 {
				t.Errorf("%d messages of %d bytes: %v allocations up, %v down; the budget is 0", n, size, up, down)
			}
		}
	}
}

// maxCPU is the budget of TestBudgetCPU. From machine to machine it was 0.16 to 0.37.
const maxCPU = 0.55

// TestBudgetCPU: the way of a message through the relay and of another one back, with ordering, retention and receipts, but for
// gRPC, costs a fraction of what the generated code takes to encode and decode the two. They run in turn, and the best round of
// each counts. What counts is the time of the process, as the collector's work is done by other threads where a core is free.
func TestBudgetCPU(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector slows the two down differently; make test runs the budgets without it as well")
	}
	const n, times, rounds = 32, 500, 20
	l := newLoop(t, 64)
	reference := &holdfastv1.AttachRequest{}
	for i := range 2 * n {
		reference.Frames = append(reference.Frames, data(uint64(i+1), string(l.payload)))
		reference.Frames[i].ConnectionId, reference.Frames[i].Epoch = 42, uint64(ordering.FirstEpoch)
	}
	ways, code := time.Duration(1<<62), time.Duration(1<<62)
	for range rounds {
		began := processTime(t)
		for range times {
			l.fromClient(n)
			l.fromServer(n)
		}
		ways = min(ways, processTime(t)-began)
		began = processTime(t)
		for range times {
			encoded, err := proto.Marshal(reference)
			if err == nil {
				err = proto.Unmarshal(encoded, &holdfastv1.AttachRequest{})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		code = min(code, processTime(t)-began)
	}
	ratio := float64(ways) / float64(code)
	t.Logf("%v a message through the relay, %v through the generated code: %.2f", ways/(2*n*times), code/(2*n*times), ratio)
	if ratio > maxCPU {
		t.Errorf("the way through the relay costs %.2f of the generated code; the budget is %v", ratio, maxCPU)
	}
}

// processTime is how long the process has used a core, in all its threads.
func processTime(t *testing.T) time.Duration {
	t.Helper()
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		t.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// maxIdleBytes is the budget of TestBudgetIdle, in bytes a connection.
const maxIdleBytes = 2048 // it was 1,376 when it was set

// TestBudgetIdle: what the relay holds for a connection that is idle after messages each way, but for gRPC's part.
func TestBudgetIdle(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector takes memory of its own; make test runs the budgets without it as well")
	}
	const n = 2000
	loops := make([]*loop, n)
	heap := func() uint64 {
		runtime.GC()
		runtime.GC() // what a pool had is gone after the second
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for i := range loops {
		loops[i] = newLoop(t, 64)
		loops[i].fromClient(4)
		loops[i].fromServer(4)
	}
	// What belongs to the test, and to the server connections that it makes for each connection, does not count.
	connections := make([]*Connection, n)
	for i, l := range loops {
		connections[i] = l.Connection
		l.Connection.observer, l.Connection.uses, l.Connection.last = nil, nil, nil
		loops[i] = nil
	}
	after := heap()
	each := (after - min(before, after)) / n
	t.Logf("%d bytes a connection", each)
	if each > maxIdleBytes {
		t.Errorf("%d bytes a connection; the budget is %d", each, maxIdleBytes)
	}
	runtime.KeepAlive(connections)
}
