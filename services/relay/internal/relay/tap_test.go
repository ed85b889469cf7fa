package relay

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/pkg/wire/wiretest"
)

// tap stands in the server connections of an app server: it notes the frames and can hold a direction of one of them.
type tap struct {
	t     testing.TB
	mu    sync.Mutex
	notes []string
	// gates hold back what passes, by ingress and direction.
	gates map[string]chan struct{}
	// cuts cut the newest server connection through an ingress.
	cuts map[string]context.CancelFunc
}

func newTap(t testing.TB) *tap {
	return &tap{t: t, gates: make(map[string]chan struct{}), cuts: make(map[string]context.CancelFunc)}
}

// cut cuts the newest server connection through the ingress and waits until both sides know.
func (t *tap) cut(ingress string) {
	t.mu.Lock()
	cut := t.cuts[ingress]
	t.mu.Unlock()
	cut()
	synctest.Wait()
}

// hold holds a direction ("in" or "out", as the app server sees it) of the path until the returned function is called.
func (t *tap) hold(ingress, direction string) (release func()) {
	gate := make(chan struct{})
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gates[ingress+direction] = gate
	return func() {
		t.mu.Lock()
		delete(t.gates, ingress+direction)
		t.mu.Unlock()
		close(gate)
	}
}

// pass waits while the direction is held. Its error says that the path was cut meanwhile, with what was held.
func (t *tap) pass(ctx context.Context, ingress, direction string) error {
	t.mu.Lock()
	gate := t.gates[ingress+direction]
	t.mu.Unlock()
	if gate == nil {
		return nil
	}
	select {
	case <-gate:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (t *tap) note(ingress, arrow string, frames []*holdfastv1.Frame) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range frames {
		t.notes = append(t.notes, fmt.Sprintf("%s%s%s", ingress, arrow, describe(f)))
	}
}

// take returns what was noted since the last call.
func (t *tap) take() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	notes := slices.Clone(t.notes)
	t.notes = nil
	return notes
}

func describe(f *holdfastv1.Frame) string {
	move := uint32(f.GetEpoch())
	switch b := f.GetBody().(type) {
	case *holdfastv1.Frame_Data:
		return fmt.Sprintf("data%d@%d", b.Data.GetSeq(), move)
	case *holdfastv1.Frame_Receipt:
		return fmt.Sprintf("receipt%d@%d", b.Receipt.GetConsumedSeq(), move)
	case *holdfastv1.Frame_Migrate:
		if b.Migrate.GetMode() == holdfastv1.MigrateMode_MIGRATE_MODE_RESUME {
			return fmt.Sprintf("resume%d@%d", b.Migrate.GetReceivedSeq(), move)
		}
		return fmt.Sprintf("migrate@%d", move)
	case *holdfastv1.Frame_MigrateWithAck:
		if n := b.MigrateWithAck.GetReceivedSeq(); n > 0 {
			return fmt.Sprintf("withack%d@%d", n, move)
		}
		return fmt.Sprintf("withack@%d", move)
	case *holdfastv1.Frame_Ack:
		return fmt.Sprintf("ack@%d", move)
	case *holdfastv1.Frame_Open:
		return fmt.Sprintf("open@%d", move)
	case *holdfastv1.Frame_Close:
		return fmt.Sprintf("close%d(%v)", b.Close.GetSeq(), b.Close.GetReason())
	}
	return fmt.Sprintf("%T", f.GetBody())
}

// option has the tap stand in the streams of a dial.
func (t *tap) option() grpc.DialOption {
	return grpc.WithChainStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn,
		method string, streamer grpc.Streamer, opts ...grpc.CallOption,
	) (grpc.ClientStream, error) {
		ctx, cancel := context.WithCancel(ctx)
		st, err := streamer(ctx, desc, cc, method, opts...)
		if err != nil {
			cancel()
			return nil, err
		}
		md, _ := metadata.FromOutgoingContext(ctx)
		ingress := md.Get("x-ingress-id")[0]
		t.mu.Lock()
		defer t.mu.Unlock()
		t.cuts[ingress] = cancel
		return &tappedStream{st, t, ingress}, nil
	})
}

type tappedStream struct {
	grpc.ClientStream
	tap     *tap
	ingress string
}

func (s *tappedStream) SendMsg(m any) error {
	if err := s.tap.pass(s.Context(), s.ingress, "out"); err != nil {
		return err
	}
	if batch, ok := m.(*wire.Batch); ok {
		s.tap.note(s.ingress, ">", wiretest.Frames(s.tap.t, batch))
	}
	return s.ClientStream.SendMsg(m)
}

func (s *tappedStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err != nil {
		return err
	}
	if err := s.tap.pass(s.Context(), s.ingress, "in"); err != nil {
		return err
	}
	if received, ok := m.(*wire.Received); ok {
		s.tap.note(s.ingress, "<", wiretest.Received(s.tap.t, received))
	}
	return nil
}

func (t *tap) isHeld(ingress, direction string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.gates[ingress+direction] != nil
}
