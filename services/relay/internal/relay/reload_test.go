package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// client is a plain client that sends numbered messages and checks the echo.
type client struct {
	h      *harness
	stream holdfastv1.ClientConnectionService_ConnectClient
	sent   int
	got    int
}

func (h *harness) client(ctx context.Context, ingress string) (*client, func()) {
	h.t.Helper()
	cc := h.conn(h.application, ingress)
	stream, err := holdfastv1.NewClientConnectionServiceClient(cc).Connect(ctx)
	if err != nil {
		h.t.Fatal(err)
	}
	return &client{h: h, stream: stream}, func() { _ = cc.Close() }
}

func (c *client) send() error {
	c.sent++
	return c.stream.Send(&holdfastv1.ConnectRequest{Content: &holdfastv1.ConnectRequest_Text{Text: fmt.Sprint(c.sent)}})
}

func (c *client) receive() error {
	m, err := c.stream.Recv()
	if err != nil {
		return err
	}
	c.got++
	if m.GetText() != fmt.Sprint(c.got) {
		return fmt.Errorf("got message %q, want %d", m.GetText(), c.got)
	}
	return nil
}

// exchange sends n messages with a pause between them and receives all echoes.
func (c *client) exchange(n int, pause time.Duration) error {
	var wg sync.WaitGroup
	var sendErr error
	wg.Go(func() {
		for range n {
			if sendErr = c.send(); sendErr != nil {
				return
			}
			time.Sleep(pause)
		}
	})
	defer wg.Wait()
	for range n {
		if err := c.receive(); err != nil {
			return err
		}
	}
	return nil
}

func reload(t *testing.T, admin holdfastv1.AdminServiceClient, ingress string) *holdfastv1.ReloadIngressResponse {
	t.Helper()
	st, err := admin.ReloadIngress(t.Context(), &holdfastv1.ReloadIngressRequest{Ingress: ingress})
	if err != nil {
		t.Fatal(err)
	}
	var last *holdfastv1.ReloadIngressResponse
	for {
		p, err := st.Recv()
		if errors.Is(err, io.EOF) {
			return last
		}
		if err != nil {
			t.Fatal(err)
		}
		last = p
	}
}

func TestReloadMovesConnectionsUnderTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		defer h.stop()
		_, stopServer := h.appServer("app-1", echo, []string{"a", "b"})
		defer stopServer()
		synctest.Wait()

		const clients = 40
		var wg sync.WaitGroup
		for i := range clients {
			c, closeClient := h.client(t.Context(), []string{"a", "a", "b", "b"}[i%4])
			defer closeClient()
			if err := c.exchange(1, 0); err != nil { // placed one after the other, so that the numbers below are certain
				t.Fatal(err)
			}
			wg.Go(func() {
				if err := c.exchange(200, 5*time.Millisecond); err != nil {
					t.Errorf("client %d: %v", i, err)
				}
			})
		}
		admin, closeAdmin := h.admin()
		defer func() { _ = closeAdmin.Close() }()
		time.Sleep(100 * time.Millisecond)
		for _, step := range []struct {
			ingress string
			moved   uint32
		}{
			{"a", 10}, // half of the connections of the 20 clients through b
			{"b", 10}, // the other half of the clients through a
			{"a", 0},  // now each runs where its client came in
		} {
			p := reload(t, admin, step.ingress)
			if !p.GetSafeToReload() || p.GetMoved() != step.moved || p.GetPlanned() != step.moved {
				t.Errorf("reload of %s: want %d moved: %v", step.ingress, step.moved, p)
			}
			ingress := step.ingress
			if _, err := admin.CompleteReload(t.Context(), &holdfastv1.CompleteReloadRequest{Ingress: ingress}); err != nil {
				t.Error(err)
			}
			time.Sleep(200 * time.Millisecond)
		}
		wg.Wait()
		if n := h.counter("holdfast.relay.frames.dropped", ""); n != 0 {
			t.Errorf("%d frames were dropped; the graceful path drops none", n)
		}
	})
}
