package logical

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/pkg/wire/wiretest"
	"github.com/holdfast/holdfast/services/relay/internal/placement"
	"github.com/holdfast/holdfast/services/relay/internal/serverconn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a connection on path 1, with a second server connection beside it. Nobody serves their streams: the test pulls
// and sends frames itself. It notes what the observer is told.
type rig struct {
	*Connection
	t     *testing.T
	paths [3]*serverconn.Conn
	told  []string
}

const window = 1 << 10

func newRig(t *testing.T) *rig {
	r := &rig{t: t}
	for path := ordering.Path(1); path <= 2; path++ {
		r.paths[path] = &serverconn.Conn{Path: path, ID: fmt.Sprint(path), Window: window, Writer: wire.NewWriter(path, time.Hour, nil)}
	}
	if !r.paths[1].Acquire() {
		t.Fatal("a new server connection is ending")
	}
	r.Connection = New(Info{ID: 42, ClientIngress: "in", ClientAddress: "addr"}, r.paths[1], r, nil)
	r.Start()
	return r
}

func (r *rig) Settled(_ *Connection, s Settlement) {
	was := "new"
	if s.From != nil {
		was = fmt.Sprint(s.Outcome, " ", s.From.ID)
	}
	r.told = append(r.told, fmt.Sprintf("settled %s to %s %v", was, s.Now.ID, s.Paused))
}

func (r *rig) Parked(_ *Connection, from *serverconn.Conn, open Outcome) {
	words := "parked from " + from.ID
	if open != 0 {
		words += " " + open.String()
	}
	r.told = append(r.told, words)
}

func (r *rig) Released(s *serverconn.Conn, _ bool) { r.told = append(r.told, "released "+s.ID) }

func (r *rig) Ended(_ *Connection, e Ending) {
	words := "ended on " + e.Now.ID
	if e.Moving {
		words += " moving from " + e.From.ID
	}
	r.told = append(r.told, words+" "+wire.CloseReasonName(e.Why.Reason))
}

func (r *rig) Dropped(_ *Connection, v ordering.Verdict, first bool) {
	r.told = append(r.told, fmt.Sprintf("dropped %v %v", v, first))
}

// expect checks what the observer was told since the last time.
func (r *rig) expect(want ...string) {
	r.t.Helper()
	if !slices.Equal(r.told, want) {
		r.t.Errorf("the observer was told %q, want %q", r.told, want)
	}
	r.told = nil
}

// pull sends what stands ready on the path and says in words what it was.
func (r *rig) pull(path ordering.Path) string {
	var b wire.Batch
	for r.Pull(wire.NewLane(r.paths[path].Writer, r.Connection), &b, 16) {
		continue
	}
	var all []string
	for _, m := range wiretest.Frames(r.t, &b) {
		f, err := wire.FrameOf(m)
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%v@%d", f.Step.Kind, f.Step.Epoch.Move()))
	}
	return strings.Join(all, " ")
}

// receive has the app server send a frame via the path, in a move of the first generation.
func (r *rig) receive(path ordering.Path, move uint64, f *holdfastv1.Frame) error {
	f.ConnectionId, f.Epoch = 42, 1<<32|move
	in, err := wire.FrameOf(f)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.Receive(r.paths[path], &in)
}

func receipt(consumed uint64) *holdfastv1.Frame {
	return &holdfastv1.Frame{Body: &holdfastv1.Frame_Receipt{Receipt: &holdfastv1.ReceiptMessage{ConsumedSeq: consumed}}}
}

func data(seq uint64, payload string) *holdfastv1.Frame {
	return &holdfastv1.Frame{Body: &holdfastv1.Frame_Data{Data: &holdfastv1.ConnectionDataMessage{Seq: seq, Payload: []byte(payload), Text: true}}}
}

func closing(seq uint64, reason holdfastv1.CloseReason) *holdfastv1.Frame {
	return &holdfastv1.Frame{Body: &holdfastv1.Frame_Close{Close: &holdfastv1.CloseConnectionMessage{Seq: seq, Reason: reason, Detail: "why"}}}
}

// settled returns a rig whose app server has confirmed.
func settled(t *testing.T) *rig {
	r := newRig(t)
	r.pull(1)
	r.must(r.receive(1, 1, receipt(0)))
	r.told = nil
	return r
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// lose takes the connection's path away for good.
func (r *rig) lose(detail string) {
	r.Lost(r.paths[1])
	r.Expire(detail)
}

// take takes what is there for the client and does not wait.
func (r *rig) take() ([]string, *Closure) {
	ctx, cancel := context.WithCancel(r.t.Context())
	cancel()
	taken, closure, err := r.Take(ctx, nil, nil)
	if err != nil && !errors.Is(err, context.Canceled) {
		r.t.Fatal(err)
	}
	var all []string
	for _, m := range taken {
		all = append(all, string(m.Payload))
	}
	return all, closure
}

func TestLifeOfAConnection(t *testing.T) {
	r := newRig(t)
	if v := r.View(); v.State != placement.Opening || v.Path != 1 || v.ClientIngress != "in" {
		t.Errorf("new: %+v", v)
	}
	r.must(r.Push(t.Context(), ordering.Message{Kind: ordering.Text, Payload: []byte("x")}))
	if got := r.pull(1); got != "Open@1 Data@1" {
		t.Errorf("sent %s", got)
	}
	r.must(r.receive(1, 1, receipt(0)))
	r.expect("settled new to 1 0s")
	if v := r.View(); v.State != placement.Settled {
		t.Errorf("confirmed: %+v", v)
	}
	r.ClientGone("bye")
	if s := r.Snapshot(); !s.Closing {
		t.Errorf("gone: %+v", s)
	}
	if got := r.pull(1); got != "Data@1" {
		t.Errorf("sent %s, want the close", got)
	}
	r.expect() // the app server has not said that the close was consumed
	r.must(r.receive(1, 1, receipt(2)))
	r.expect("released 1", "ended on 1 CLIENT_GONE")
	if r.paths[1].Load() != 0 || r.paths[1].InUse() {
		t.Errorf("load %d, in use %v", r.paths[1].Load(), r.paths[1].InUse())
	}
	r.must(r.receive(1, 1, receipt(2)))
	r.expect()
}

func TestMove(t *testing.T) {
	r := settled(t)
	r.must(r.Migrate(r.paths[2], Why{}))
	if v := r.View(); v.State != placement.InHandoff || v.Path != 2 || v.Previous != 1 {
		t.Errorf("in the handoff: %+v", v)
	}
	if r.paths[1].Load() != 0 || r.paths[2].Load() != 1 || !r.paths[1].InUse() || !r.paths[2].InUse() {
		t.Error("in a handoff both paths are in use, the load is the target's")
	}
	if one, two := r.pull(1), r.pull(2); one != "" || two != "Migrate@2" {
		t.Errorf("step 3: sent %q and %q", one, two)
	}
	r.must(r.receive(1, 2, &holdfastv1.Frame{Body: &holdfastv1.Frame_MigrateWithAck{}}))
	if one, two := r.pull(1), r.pull(2); one != "Ack@2" || two != "" {
		t.Errorf("step 7: sent %q and %q", one, two)
	}
	r.expect()
	confirm := receipt(0)
	confirm.GetReceipt().PausedMicros = 1500
	r.must(r.receive(2, 2, confirm))
	r.expect("settled moved 1 to 2 1.5ms", "released 1")
	if r.paths[1].InUse() || !r.paths[2].InUse() {
		t.Error("the previous path is in use, or the target is not")
	}
}

func TestMigrateRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		rig  func(*testing.T) *rig
		to   ordering.Path
	}{
		{"not confirmed", newRig, 2},
		{"to where it is", settled, 1},
		{"in a handoff", func(t *testing.T) *rig { r := settled(t); r.must(r.Migrate(r.paths[2], Why{})); return r }, 2},
		{"over", func(t *testing.T) *rig { r := settled(t); r.lose(""); return r }, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := c.rig(t)
			load := r.paths[2].Load()
			if err := r.Migrate(r.paths[c.to], Why{}); !errors.Is(err, ordering.ErrNotMovable) || r.paths[2].Load() != load {
				t.Errorf("got %v, load %d", err, r.paths[2].Load())
			}
		})
	}
}

// How a connection ends is told once, to the client's side and to the observer, after what had arrived.
func TestEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(*rig)
		told string // nothing: it lives until the app server answers
		want holdfastv1.CloseReason
		lost bool // messages that wait are not for the client any more
	}{
		{
			"its server connection is lost for good", func(r *rig) { r.lose("cut") },
			"ended on 1 SERVER_LOST", holdfastv1.CloseReason_CLOSE_REASON_SERVER_LOST, false,
		},
		{
			"the app server does not know it",
			func(r *rig) {
				r.PeerDoesNotKnow(closing(0, holdfastv1.CloseReason_CLOSE_REASON_UNKNOWN_CONNECTION).GetClose())
			},
			"ended on 1 SERVER_LOST", holdfastv1.CloseReason_CLOSE_REASON_SERVER_LOST, false,
		},
		{
			"the app server gives it up",
			func(r *rig) {
				r.PeerDoesNotKnow(closing(0, holdfastv1.CloseReason_CLOSE_REASON_PROTOCOL_ERROR).GetClose())
			},
			"ended on 1 PROTOCOL_ERROR", holdfastv1.CloseReason_CLOSE_REASON_PROTOCOL_ERROR, false,
		},
		{
			"refused",
			func(r *rig) { r.Refuse(r.paths[1], holdfastv1.CloseReason_CLOSE_REASON_MESSAGE_TOO_LARGE, "big") },
			"ended on 1 MESSAGE_TOO_LARGE", holdfastv1.CloseReason_CLOSE_REASON_MESSAGE_TOO_LARGE, false,
		},
		{
			"the application closes",
			func(r *rig) {
				r.must(r.receive(1, 1, closing(2, holdfastv1.CloseReason_CLOSE_REASON_APPLICATION_CLOSED)))
			},
			"", holdfastv1.CloseReason_CLOSE_REASON_APPLICATION_CLOSED, false,
		},
		{
			"an operator closes",
			func(r *rig) { r.Close(holdfastv1.CloseReason_CLOSE_REASON_OPERATOR, "") },
			"", holdfastv1.CloseReason_CLOSE_REASON_OPERATOR, true,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := settled(t)
			r.must(r.receive(1, 1, data(1, "x")))
			for range 2 { // the second time changes nothing
				if c.end(r); c.name == "the application closes" {
					break
				}
			}
			if strings.Contains(c.name, "for good") {
				r.expect("released 1", "parked from 1", c.told)
			} else if c.told != "" {
				r.expect("released 1", c.told)
			} else {
				r.expect()
			}
			if got, _ := r.take(); (len(got) == 1) == c.lost {
				t.Errorf("the client gets %q before the end", got)
			}
			got, closure := r.take()
			if len(got) != 0 || closure == nil || closure.Reason != c.want {
				t.Fatalf("the client gets %q and %v, want %v", got, closure, c.want)
			}
			if err := r.Push(t.Context(), ordering.Message{Kind: ordering.Text}); !errors.Is(err, ErrOver) {
				t.Errorf("a message of the client: %v", err)
			}
		})
	}
}

// The reason is the peer's to say, and it may say none.
func TestEndsWithoutAReason(t *testing.T) {
	const none = holdfastv1.CloseReason_CLOSE_REASON_UNSPECIFIED
	for name, end := range map[string]func(*rig){
		"close":   func(r *rig) { r.must(r.receive(1, 1, closing(1, none))) },
		"unknown": func(r *rig) { r.PeerDoesNotKnow(closing(0, none).GetClose()) },
	} {
		t.Run(name, func(t *testing.T) {
			r := settled(t)
			end(r)
			if _, closure := r.take(); closure == nil {
				t.Error("the client is not told of the end")
			}
			r.ClientGone("and goes")
		})
	}
}

func TestPushWaitsForRoom(t *testing.T) {
	big := ordering.Message{Kind: ordering.Binary, Payload: make([]byte, 2*window)}
	for _, c := range []struct {
		name string
		end  func(r *rig, cancel func())
		want error
	}{
		{"a receipt", func(r *rig, _ func()) { r.pull(1); r.must(r.receive(1, 1, receipt(1))) }, nil},
		{"its context ends", func(_ *rig, cancel func()) { cancel() }, context.Canceled},
		{"the connection ends", func(r *rig, _ func()) { r.lose("") }, ErrOver},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := settled(t)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				r.must(r.Push(ctx, big)) // a lone message always fits
				pushed := make(chan error, 1)
				go func() { pushed <- r.Push(ctx, big) }()
				synctest.Wait()
				select {
				case err := <-pushed:
					t.Fatalf("a full window took a message: %v", err)
				default:
				}
				c.end(r, cancel)
				if err := <-pushed; !errors.Is(err, c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
			})
		})
	}
}

func TestPushAfterAHalfClose(t *testing.T) {
	r := settled(t)
	half := ordering.Message{Kind: ordering.HalfClose}
	r.must(r.Push(t.Context(), half))
	for _, m := range []ordering.Message{half, {Kind: ordering.Text}} {
		if err := r.Push(t.Context(), m); !errors.Is(err, ordering.ErrEnded) {
			t.Errorf("%v: %v", m.Kind, err)
		}
	}
}

// What a client sent before it went still arrives when its connection is moved, followed by the close.
func TestMoveAfterTheClientHasGone(t *testing.T) {
	r := settled(t)
	r.ClientGone("bye")
	r.must(r.Migrate(r.paths[2], Why{}))
	if got := r.pull(2); got != "Migrate@2 Data@2" {
		t.Errorf("via the target: %s", got)
	}
}
