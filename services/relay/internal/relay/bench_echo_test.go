package relay

import (
	"context"
	"fmt"
	"sync"
	"testing"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// BenchmarkEcho echoes 64-byte messages of 100 clients, 8 of each in flight, through the relay. An operation is a message
// there and back.
func BenchmarkEcho(b *testing.B) {
	const clients, inFlight = 100, 8
	h := startHarness(b, onLoopback(b), onLoopback(b), nil)
	defer h.stop()
	_, stopServer := h.appServer("app-1", echo, []string{"a", "b"})
	defer stopServer()
	admin, closeAdmin := h.admin()
	defer func() { _ = closeAdmin.Close() }()
	waitAttached(b, admin, 2)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	cc := h.conn(h.application, "c")
	defer func() { _ = cc.Close() }()
	streams := make([]holdfastv1.ClientConnectionService_ConnectClient, clients)
	for i := range streams {
		stream, err := holdfastv1.NewClientConnectionServiceClient(cc).Connect(ctx)
		if err != nil {
			b.Fatal(err)
		}
		if err := pipeline(stream, 1, 1); err != nil {
			b.Fatal(err)
		}
		streams[i] = stream
	}
	b.ResetTimer()
	var wg sync.WaitGroup
	for i, stream := range streams {
		wg.Go(func() {
			if err := pipeline(stream, (b.N+i)/clients, inFlight); err != nil {
				b.Errorf("client %d: %v", i, err)
			}
		})
	}
	wg.Wait()
}

// pipeline exchanges n messages, with at most that many in flight, and checks the echoes.
func pipeline(stream holdfastv1.ClientConnectionService_ConnectClient, n, inFlight int) error {
	request := func(i int) *holdfastv1.ConnectRequest {
		return &holdfastv1.ConnectRequest{Content: &holdfastv1.ConnectRequest_Text{Text: fmt.Sprintf("%064d", i)}}
	}
	for i := range min(n, inFlight) {
		if err := stream.Send(request(i)); err != nil {
			return err
		}
	}
	for i := range n {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		if want := fmt.Sprintf("%064d", i); m.GetText() != want {
			return fmt.Errorf("echo %q, want %q", m.GetText(), want)
		}
		if i+inFlight < n {
			if err := stream.Send(request(i + inFlight)); err != nil {
				return err
			}
		}
	}
	return nil
}
