package hostile_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/holdfast/holdfast/pkg/client"
)

// steadyClients is how many resumable clients behave beside the attacks.
const steadyClients = 2

// steady has resumable clients that behave come. The function that it returns ends them, and says what they have lost.
func (s *stage) steady(t *testing.T) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	var all sync.WaitGroup
	for i := range steadyClients {
		c, err := client.Dial(ctx, client.Config{
			Addresses: []string{s.address}, Application: "echo", Logger: slog.New(slog.DiscardHandler),
			DialOptions: []grpc.DialOption{grpc.WithTransportCredentials(credentials.NewTLS(s.tls()))},
			Token:       func(context.Context) (string, error) { return s.signer.good(fmt.Sprint("steady ", i)), nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			if err := count(ctx, t.Context(), c); err != nil {
				t.Errorf("a resumable client that behaves was disturbed: %v", err)
			}
		})
	}
	return func() {
		cancel()
		all.Wait()
	}
}

// count says numbers and hears each again, until the context ends, and then closes.
func count(ctx, longer context.Context, c *client.Connection) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ctx.Err() == nil; n++ {
		want := fmt.Sprint("number ", n)
		if err := c.Send(longer, client.Message{Payload: []byte(want), Text: true}); err != nil {
			return err
		}
		m, err := c.Receive(longer)
		if err != nil || string(m.Payload) != want {
			return fmt.Errorf("%q, %w; want %q", m.Payload, err, want)
		}
		<-tick.C
	}
	return c.Close(longer)
}
