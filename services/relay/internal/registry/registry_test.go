package registry

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/goleak"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/event"
	"github.com/holdfast/holdfast/services/relay/internal/logical"
	"github.com/holdfast/holdfast/services/relay/internal/placement"
	"github.com/holdfast/holdfast/services/relay/internal/serverconn"
	"github.com/holdfast/holdfast/services/relay/internal/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a registry whose streams nobody serves. It counts what its mover is told.
type rig struct {
	*Registry
	t            *testing.T
	reconsidered int
	ended        []string // how moves and connections ended, and from which path
	parked       []*logical.Connection
}

func (r *rig) Reconsider() { r.reconsidered++ }

func (r *rig) MoveEnded(_ *logical.Connection, from *serverconn.Conn, o logical.Outcome, _ time.Duration) {
	r.ended = append(r.ended, o.String()+" "+from.ID)
}

func (r *rig) Left(from *serverconn.Conn) { r.ended = append(r.ended, "left "+from.ID) }

func (r *rig) Parked(c *logical.Connection) { r.parked = append(r.parked, c) }

func newRig(t *testing.T, allowed ...string) *rig {
	t.Helper()
	counters, err := telemetry.New(noop.NewMeterProvider(), tracenoop.NewTracerProvider())
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{Registry: New(&event.Hub{}, counters, slog.New(slog.NewTextHandler(io.Discard, nil)), allowed), t: t}
	r.SetMover(r)
	return r
}

// conn makes a server connection of the process through the ingress.
func (r *rig) conn(id, instance, ingress string) *serverconn.Conn {
	path := r.NewPath()
	return &serverconn.Conn{
		Path: path, ID: id, Ingress: ingress, Window: 1 << 10, Writer: wire.NewWriter(path, time.Hour, nil),
		Instance: serverconn.Instance{Application: "x", ServerID: "s", InstanceID: instance, Nonce: 1},
	}
}

func (r *rig) attached(id, instance, ingress string) *serverconn.Conn {
	r.t.Helper()
	s := r.conn(id, instance, ingress)
	if err := r.Attach(s); err != nil {
		r.t.Fatal(err)
	}
	return s
}

// open places a connection and returns the id of the server connection that it is on, or the reason of the refusal.
func (r *rig) open() string {
	c, err := r.Open(logical.Info{Application: "x", ClientIngress: "in"})
	if err != nil {
		return wire.ErrorReasonOf(err)
	}
	return c.Snapshot().Server.ID
}

func TestAttach(t *testing.T) {
	r := newRig(t)
	first := r.attached("1", "i", "a")
	r.attached("2", "i", "b") // the same process
	other := r.conn("3", "i", "a")
	other.Instance.Nonce = 2
	if err := r.Attach(other); wire.ErrorReasonOf(err) != "INSTANCE_CONFLICT" {
		t.Errorf("another process with that instance_id: %v", err)
	}
	r.attached("4", "j", "a")
	if n := len(r.ServerConnections()); n != 3 || r.reconsidered != 3 {
		t.Errorf("%d server connections, reconsidered %d times", n, r.reconsidered)
	}
	if r.ServerConnection(first.Path) != first || r.ServerConnection(other.Path) != nil {
		t.Error("a path leads to the wrong server connection")
	}
	if got := r.Ingresses(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("ingresses %v", got)
	}
	r.Detach(first, "test")
	r.Detach(r.ServerConnection(2), "test")
	if err := r.Attach(other); err != nil {
		t.Errorf("once the first process is gone: %v", err)
	}
	if got := r.Ingresses(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("ingresses are forgotten: %v", got)
	}
}

func TestStopRefusesEverythingNew(t *testing.T) {
	r := newRig(t)
	r.attached("1", "i", "a")
	r.Stop()
	if err := r.Attach(r.conn("2", "i", "b")); wire.ErrorReasonOf(err) != "RELAY_SHUTDOWN" {
		t.Errorf("a server connection: %v", err)
	}
	if got := r.open(); got != "RELAY_SHUTDOWN" {
		t.Errorf("a client: %s", got)
	}
}

func TestCheckApplication(t *testing.T) {
	if err := newRig(t).CheckApplication("any"); err != nil {
		t.Errorf("with no list: %v", err)
	}
	r := newRig(t, "x", "y")
	if err := r.CheckApplication("y"); err != nil {
		t.Errorf("on the list: %v", err)
	}
	if err := r.CheckApplication("z"); wire.ErrorReasonOf(err) != "UNKNOWN_APPLICATION" {
		t.Errorf("not on the list: %v", err)
	}
}

func TestReloadStates(t *testing.T) {
	r := newRig(t)
	r.attached("1", "i", "a")
	r.attached("2", "i", "b")
	at := time.Now().Add(time.Minute)
	for _, step := range []struct {
		name string
		do   func() error
		want string
	}{
		{"end with none begun", func() error { return r.EndReload("a", "") }, "NO_RELOAD"},
		{"begin of an unknown one", func() error { return r.BeginReload("z", at) }, "UNKNOWN_INGRESS"},
		{"begin", func() error { return r.BeginReload("a", at) }, ""},
		{"begin again", func() error { return r.BeginReload("a", at) }, "RELOAD_IN_PROGRESS"},
		{"begin of another", func() error { return r.BeginReload("b", at) }, ""},
		{"end of another", func() error { return r.EndReload("b", "") }, ""},
	} {
		if err := step.do(); wire.ErrorReasonOf(err) != step.want {
			t.Errorf("%s: %v, want %q", step.name, err, step.want)
		}
	}
	if got := r.Reloads(); len(got) != 1 || !got["a"].Equal(at) || !r.Reloading("a") || r.Reloading("b") {
		t.Errorf("reloads: %v", got)
	}
	for _, p := range r.Paths() {
		if reloading := p.Ingress == "a"; p.IngressReloading != reloading || p.Draining != reloading {
			t.Errorf("path %+v", p)
		}
	}
}

func TestOpenTakesWhatIsNotGoing(t *testing.T) {
	for _, c := range []struct {
		name  string
		build func(r *rig)
		want  string
	}{
		{"nothing attached", func(*rig) {}, "NO_APP_SERVER"},
		{"one", func(r *rig) { r.attached("1", "i", "a") }, "1"},
		{"one of two drains", func(r *rig) { r.Draining(r.attached("1", "i", "a"), ""); r.attached("2", "i", "b") }, "2"},
		{"the only one drains and is in use", func(r *rig) { s := r.attached("1", "i", "a"); r.open(); r.Draining(s, "") }, "1"},
		{"the only one drains and is empty", func(r *rig) { r.Draining(r.attached("1", "i", "a"), "") }, "NO_APP_SERVER"},
		{
			"both drain, one is empty and ends",
			func(r *rig) {
				s := r.attached("1", "i", "a")
				r.open()
				r.Draining(s, "")
				r.Draining(r.attached("2", "i", "b"), "")
			},
			"1",
		},
		{"the other one is gone", func(r *rig) { r.Detach(r.attached("1", "i", "a"), ""); r.attached("2", "j", "a") }, "2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			c.build(r)
			if got := r.open(); got != c.want {
				t.Errorf("placed on %s, want %s", got, c.want)
			}
		})
	}
}

// The connections of a server connection that is gone are parked, and moves to it are thought over.
func TestDetach(t *testing.T) {
	r := newRig(t)
	lost := r.attached("1", "i", "a")
	r.open()
	r.attached("2", "j", "b")
	r.open()
	before := r.reconsidered
	r.Detach(lost, "test")
	var states []string
	for c := range r.Connections() {
		states = append(states, fmt.Sprintf("%s parked %v", c.Snapshot().Server.ID, c.View().State == placement.Parked))
	}
	slices.Sort(states)
	if !slices.Equal(states, []string{"1 parked true", "2 parked false"}) || len(r.parked) != 1 || len(r.ended) != 0 {
		t.Errorf("connections are %v, %d are to be resumed, %v ended", states, len(r.parked), r.ended)
	}
	if r.reconsidered == before {
		t.Error("nothing is reconsidered")
	}
	if lost.Load() != 0 || lost.InUse() || !lost.Ended() {
		t.Errorf("load %d, in use %v, ended %v", lost.Load(), lost.InUse(), lost.Ended())
	}
}

// Draining is news once, and what nothing uses any more is ended once it is.
func TestDrainingEndsTheWriterOfAnEmptyPath(t *testing.T) {
	r := newRig(t)
	s := r.attached("1", "i", "a")
	r.open()
	before := r.reconsidered
	r.Draining(s, "test")
	r.Draining(s, "again")
	if r.reconsidered != before+1 {
		t.Errorf("reconsidered %d times", r.reconsidered-before)
	}
	for c := range r.Connections() {
		c.PeerDoesNotKnow(&holdfastv1.CloseConnectionMessage{Reason: holdfastv1.CloseReason_CLOSE_REASON_UNKNOWN_CONNECTION})
	}
	if s.Acquire() {
		t.Error("a draining path that is empty is taken into use again")
	}
	if err := s.Writer.Run(t.Context()); err == nil || err.Error() != wire.ErrEnded.Error() {
		t.Errorf("its writer ended with %v", err)
	}
	s.Writer.Wait()
}

func TestTable(t *testing.T) {
	r := newRig(t)
	r.attached("1", "i", "a")
	var ids []uint64
	for range 500 { // many to a shard
		c, err := r.Open(logical.Info{Application: "x"})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, c.ID)
		if r.connections.add(c) {
			t.Fatal("an id was added twice")
		}
	}
	seen := make(map[uint64]bool)
	for c := range r.Connections() {
		if seen[c.ID] || r.Connection(c.ID) != c {
			t.Fatalf("connection %x is there twice, or not by its id", c.ID)
		}
		seen[c.ID] = true
	}
	if len(seen) != len(ids) {
		t.Errorf("%d connections, want %d", len(seen), len(ids))
	}
	for range r.Connections() {
		break // whoever looks for one only stops here
	}
	r.connections.remove(r.Connection(ids[0]))
	if r.Connection(ids[0]) != nil || r.Connection(ids[1]) == nil {
		t.Error("the wrong one was removed")
	}
	if r.ServerConnection(ordering.Path(99)) != nil {
		t.Error("a path that there is not")
	}
}
