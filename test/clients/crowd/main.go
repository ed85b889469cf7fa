// Command crowd is very many resumable clients in one process, for tests that count how they move. It connects them through the first
// of the addresses; the others are closed until "open" comes in a line on standard input. It writes a line of JSON for each thing that
// happens, and ends when its input does, after each client has sent one message more and got it back.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/holdfast/holdfast/pkg/client"
)

// Line is one line of output. Kind is connected (once, when all are), recovered, lost or ended (once, the last).
type Line struct {
	Kind string    `json:"kind"`
	At   time.Time `json:"at"`
	// Of recovered.
	Ingress     string        `json:"ingress,omitempty"`
	Relay       string        `json:"relay,omitempty"`
	Interrupted time.Duration `json:"interrupted,omitempty"`
	// Of lost.
	Why string `json:"why,omitempty"`
	// TCP is how many TCP connections were opened so far; of connected and ended.
	TCP int64 `json:"tcp,omitempty"`
}

const (
	atOnce  = 64
	patient = 2 * time.Minute
)

func main() {
	addresses := flag.String("addresses", "", "where clients come in, comma separated")
	clients := flag.Int("clients", 1, "how many there are")
	flag.Parse()
	c := &crowd{addresses: strings.Split(*addresses, ","), clients: make([]*client.Connection, *clients), out: json.NewEncoder(os.Stdout)}
	if err := c.run(os.Stdin); err != nil {
		fmt.Fprintf(os.Stderr, "crowd: %v\n", err)
		os.Exit(1)
	}
}

type crowd struct {
	addresses []string
	clients   []*client.Connection
	// open says that more than the first address is.
	open atomic.Bool
	tcp  atomic.Int64

	mu  sync.Mutex
	out *json.Encoder // under mu
}

func (c *crowd) say(l Line) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l.At = time.Now()
	_ = c.out.Encode(l) // Who reads it misses it.
}

func (c *crowd) run(in io.Reader) error {
	dialer, err := client.NewDialer(client.MaxStreamsPerTransport, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(c.dial))
	if err != nil {
		return err
	}
	if err := c.each(func(ctx context.Context, i int) error {
		conn, err := client.Dial(ctx, client.Config{
			Addresses: c.addresses, Dialer: dialer, Logger: slog.New(slog.DiscardHandler), Events: c.take,
		})
		if err != nil {
			return err
		}
		c.clients[i] = conn
		return echo(ctx, conn, "first")
	}); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	c.say(Line{Kind: "connected", TCP: c.tcp.Load()})
	for lines := bufio.NewScanner(in); lines.Scan(); {
		c.open.Store(lines.Text() == "open")
	}
	if err := c.each(func(ctx context.Context, i int) error {
		return errors.Join(echo(ctx, c.clients[i], "last"), c.clients[i].Close(ctx))
	}); err != nil {
		return fmt.Errorf("end: %w", err)
	}
	c.say(Line{Kind: "ended", TCP: c.tcp.Load()})
	return nil
}

func (c *crowd) dial(ctx context.Context, address string) (net.Conn, error) {
	if !c.open.Load() && !strings.HasSuffix(c.addresses[0], address) {
		return nil, fmt.Errorf("address %s is not open yet", address)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err == nil {
		c.tcp.Add(1)
	}
	return conn, err
}

func (c *crowd) take(e client.Event) {
	switch e := e.(type) {
	case client.Recovered:
		c.say(Line{Kind: "recovered", Ingress: e.Ingress, Relay: e.Relay, Interrupted: e.Interrupted})
	case client.Lost:
		c.say(Line{Kind: "lost", Why: e.Err.Error()})
	}
}

// echo sends a message and waits for it to come back.
func echo(ctx context.Context, conn *client.Connection, text string) error {
	if err := conn.Send(ctx, client.Message{Payload: []byte(text), Text: true}); err != nil {
		return err
	}
	m, err := conn.Receive(ctx)
	if err == nil && string(m.Payload) != text {
		err = fmt.Errorf("connection %s: got %q, want %q", conn.ID(), m.Payload, text)
	}
	return err
}

// each calls it with the number of each client, a few at once.
func (c *crowd) each(do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	var running sync.WaitGroup
	var next atomic.Int64
	errs := make([]error, len(c.clients))
	for range min(atOnce, len(c.clients)) {
		running.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(errs); i = int(next.Add(1)) - 1 {
				errs[i] = do(ctx, i)
			}
		})
	}
	running.Wait()
	return errors.Join(errs...)
}
