package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	clientlib "github.com/holdfast/holdfast/pkg/client"
)

// network is what lies between clients of pkg/client and the relays of a pair. An address is the number of the relay and the ingress.
type network struct {
	pair *pair

	mu sync.Mutex
	// Guarded by mu.
	conns map[string][]net.Conn
	down  map[string]bool
}

func (p *pair) network() *network {
	return &network{pair: p, conns: make(map[string][]net.Conn), down: make(map[string]bool)}
}

func (n *network) options() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(n.dial),
		grpc.WithStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string,
			streamer grpc.Streamer, opts ...grpc.CallOption,
		) (grpc.ClientStream, error) {
			target := cc.Target()
			return streamer(metadata.AppendToOutgoingContext(ctx, "x-ingress-id", target[len(target)-1:]), desc, cc, method, opts...)
		}),
	}
}

func (n *network) dial(ctx context.Context, address string) (net.Conn, error) {
	n.mu.Lock()
	down := n.down[address]
	n.mu.Unlock()
	if down {
		return nil, errors.New("connection refused")
	}
	conn, err := n.pair.relays[address[0]-'0'].application.dial(ctx)
	if err == nil {
		n.mu.Lock()
		n.conns[address] = append(n.conns[address], conn)
		n.mu.Unlock()
	}
	return conn, err
}

// cut breaks every transport of clients to the address.
func (n *network) cut(address string) {
	n.mu.Lock()
	conns := n.conns[address]
	delete(n.conns, address)
	n.mu.Unlock()
	for _, c := range conns {
		_ = c.Close() // one that is closed already is as good
	}
}

// shut has the address take no transports, or take them again.
func (n *network) shut(down bool, addresses ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, a := range addresses {
		n.down[a] = down
	}
}

// everywhere are all addresses.
var everywhere = []string{"0a", "0b", "1a", "1b"}

// talker is a client of the library that sends numbered messages and checks the echo.
type talker struct {
	conn *clientlib.Connection
	sent int
	got  int

	mu sync.Mutex
	// Guarded by mu.
	events []clientlib.Event
}

func (n *network) talker(dialer *clientlib.Dialer, addresses ...string) *talker {
	n.pair.t.Helper()
	x := &talker{}
	cfg := clientlib.Config{Application: "echo", Dialer: dialer, Logger: discard(), Events: func(e clientlib.Event) {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.events = append(x.events, e)
	}}
	if dialer == nil {
		cfg.DialOptions = n.options()
	}
	for _, a := range addresses {
		cfg.Addresses = append(cfg.Addresses, "passthrough:///"+a)
	}
	var err error
	if x.conn, err = clientlib.Dial(n.pair.ctx, cfg); err != nil {
		n.pair.t.Fatal(err)
	}
	return x
}

// exchange sends n messages with a pause between them and receives all echoes, in order and each once.
func (x *talker) exchange(ctx context.Context, n int, pause time.Duration) error {
	var wg sync.WaitGroup
	var sendErr error
	wg.Go(func() {
		for range n {
			x.sent++
			if sendErr = x.conn.Send(ctx, clientlib.Message{Payload: fmt.Append(nil, x.sent), Text: true}); sendErr != nil {
				return
			}
			time.Sleep(pause)
		}
	})
	defer wg.Wait()
	for range n {
		m, err := x.conn.Receive(ctx)
		if err != nil {
			return errors.Join(err, sendErr)
		}
		if x.got++; string(m.Payload) != fmt.Sprint(x.got) {
			return fmt.Errorf("got message %q, want %d", m.Payload, x.got)
		}
	}
	return nil
}

// moved returns how often the connection has recovered, and the longest time for which no stream carried it.
func (x *talker) moved() (n int, longest time.Duration) {
	synctest.Wait()
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, e := range x.events {
		if r, ok := e.(clientlib.Recovered); ok {
			n++
			longest = max(longest, r.Interrupted)
		}
	}
	return n, longest
}

// at returns the relay that has the connection, from 0.
func (x *talker) at() int { return int(x.conn.Relay()[len("relay-")]-'0') - 1 }

func (x *talker) address() string { return fmt.Sprint(x.at()) + x.conn.Ingress() }
