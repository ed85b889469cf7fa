package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/appserver"
	clientlib "github.com/holdfast/holdfast/pkg/client"
	"github.com/holdfast/holdfast/services/relay/internal/config"
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

// TestLibraryOverEverything talks through a cut, a reload of the ingress, the shutdown of a relay, and the death of nothing else.
func TestLibraryOverEverything(t *testing.T) {
	onPair(t, nil, echo, func(t *testing.T, p *pair) {
		n := p.network()
		x := n.talker(nil, everywhere...)
		talk := func(what string, messages int) {
			t.Helper()
			if err := x.exchange(p.ctx, messages, 10*time.Millisecond); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		}
		while := func(what string, do func()) {
			t.Helper()
			done := make(chan struct{})
			go func() {
				defer close(done)
				time.Sleep(500 * time.Millisecond)
				do()
			}()
			talk(what, 2000)
			<-done
		}
		while("a cut", func() { n.cut(x.address()) })
		if got, gap := x.moved(); got != 1 || gap == 0 || gap > time.Second {
			t.Errorf("after a cut it has moved %d times, %v without a stream", got, gap)
		}
		while("a reload", func() {
			at, ingress := p.relays[x.at()], x.conn.Ingress()
			admin, cc := at.admin()
			defer func() { _ = cc.Close() }()
			if last := reload(t, admin, ingress); !last.GetSafeToReload() || last.GetClientsMoved() != 1 {
				t.Errorf("the reload: %v", last)
			}
			if x.conn.Ingress() == ingress {
				t.Errorf("the client came back through ingress %s", ingress)
			}
		})
		relay := x.at()
		while("a shutdown", p.relays[relay].stop)
		if x.at() == relay {
			t.Errorf("the client is at relay %d, which has shut down", relay)
		}
		if got, _ := x.moved(); got != 3 {
			t.Errorf("it has moved %d times, want 3", got)
		}
		if err := x.conn.Close(p.ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

// TestLibraryOverTheDeathOfARelay: what the relay held is with the two ends.
func TestLibraryOverTheDeathOfARelay(t *testing.T) {
	onPair(t, nil, echo, func(t *testing.T, p *pair) {
		x := p.network().talker(nil, everywhere...)
		relay := x.at()
		time.AfterFunc(time.Second, func() { p.kill(relay) })
		if err := x.exchange(p.ctx, 1000, 5*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if got, _ := x.moved(); got != 1 || x.at() == relay {
			t.Errorf("it has moved %d times, and is at relay %d", got, x.at())
		}
		if err := x.conn.Close(p.ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

// TestLibraryMakesBeforeItBreaks: a reload with an ingress that goes on costs no time without a stream.
func TestLibraryMakesBeforeItBreaks(t *testing.T) {
	onPair(t, func(c *config.Config) { c.ReconnectWindow = time.Second }, echo, func(t *testing.T, p *pair) {
		const clients = 50
		n := p.network()
		dialer, err := clientlib.NewDialer(10, n.options()...)
		if err != nil {
			t.Fatal(err)
		}
		var all []*talker
		for range clients {
			all = append(all, n.talker(dialer, "0a", "1b"))
		}
		var wg sync.WaitGroup
		for i, x := range all {
			wg.Go(func() {
				if err := x.exchange(p.ctx, 300, 10*time.Millisecond); err != nil {
					t.Errorf("client %d: %v", i, err)
				}
			})
		}
		time.Sleep(500 * time.Millisecond)
		there := 0
		for _, x := range all {
			if x.at() == 0 {
				there++
			}
		}
		admin, cc := p.relays[0].admin()
		if last := reload(t, admin, "a"); !last.GetSafeToReload() || int(last.GetClientsMoved()) != there {
			t.Errorf("of %d clients: %v", there, last)
		}
		_ = cc.Close()
		wg.Wait()
		moves := 0
		for i, x := range all {
			got, gap := x.moved()
			if moves += got; gap != 0 {
				t.Errorf("client %d was without a stream for %v", i, gap)
			}
			if err := x.conn.Close(p.ctx); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		}
		if moves != there {
			t.Errorf("there were %d moves of %d clients", moves, there)
		}
	})
}

// TestLibraryThatIsIdle has nothing to say for an hour, but for the pings that see whether its transport lives.
func TestLibraryThatIsIdle(t *testing.T) {
	onPair(t, nil, echo, func(t *testing.T, p *pair) {
		x := p.network().talker(nil, everywhere...)
		for range 6 {
			time.Sleep(90 * time.Second)
			if err := x.exchange(p.ctx, 1, 0); err != nil {
				t.Fatal(err)
			}
		}
		if got, _ := x.moved(); got != 0 {
			t.Errorf("it has moved %d times", got)
		}
		if err := x.conn.Close(p.ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

// TestLibraryKeepsItsToken is away for longer than its first token is good, when that has been renewed.
func TestLibraryKeepsItsToken(t *testing.T) {
	short := func(c *config.Config) { c.ResumeTime, c.ResumeTokenTime = 20*time.Second, 40*time.Second }
	onPair(t, short, echo, func(t *testing.T, p *pair) {
		n := p.network()
		x := n.talker(nil, everywhere...)
		for range 3 {
			time.Sleep(90 * time.Second)
			n.shut(true, everywhere...)
			n.cut(x.address())
			time.Sleep(10 * time.Second)
			n.shut(false, everywhere...)
			if err := x.exchange(p.ctx, 10, 0); err != nil {
				t.Fatal(err)
			}
		}
		if got, gap := x.moved(); got != 3 || gap < 10*time.Second || gap > 20*time.Second {
			t.Errorf("it has moved %d times, %v without a stream", got, gap)
		}
		if err := x.conn.Close(p.ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

// TestLibraryThatStaysAway is told the truth when it comes back too late.
func TestLibraryThatStaysAway(t *testing.T) {
	onPair(t, nil, echo, func(t *testing.T, p *pair) {
		n := p.network()
		x := n.talker(nil, everywhere...)
		n.shut(true, everywhere...)
		n.cut(x.address())
		time.Sleep(40 * time.Second)
		n.shut(false, everywhere...)
		_, err := x.conn.Receive(p.ctx)
		if why := new(clientlib.CloseError); !errors.As(err, &why) || why.Reason != clientlib.ReasonUnknownConnection {
			t.Errorf("Receive: %v", err)
		}
	})
}

// TestLibraryCloses in each of the ways.
func TestLibraryCloses(t *testing.T) {
	ended := make(chan error, 1)
	handler := appserver.HandlerFunc(func(ctx context.Context, c *appserver.Connection) error {
		for {
			m, err := c.Receive(ctx)
			switch {
			case err == io.EOF:
				_ = c.Send(ctx, appserver.Message{Payload: []byte("half")})
			case err != nil:
				ended <- err
				return nil
			case string(m.Payload) == "close":
				return nil
			case string(m.Payload) == "fail":
				return errors.New("out of paper")
			}
		}
	})
	say := func(x *talker, s string) error {
		return x.conn.Send(context.Background(), clientlib.Message{Payload: []byte(s)})
	}
	for name, test := range map[string]func(t *testing.T, n *network, x *talker){
		"the client": func(t *testing.T, n *network, x *talker) {
			if err := errors.Join(say(x, "last"), x.conn.Close(n.pair.ctx)); err != nil {
				t.Error(err)
			}
			if closed := new(appserver.CloseError); !errors.As(<-ended, &closed) || closed.Reason != holdfastv1.CloseReason_CLOSE_REASON_CLIENT_GONE {
				t.Errorf("the application saw %v", closed)
			}
		},
		"the client, whose stream breaks at that": func(t *testing.T, n *network, x *talker) {
			n.shut(true, everywhere...)
			n.cut(x.address())
			time.AfterFunc(5*time.Second, func() { n.shut(false, everywhere...) })
			if err := errors.Join(say(x, "last"), x.conn.Close(n.pair.ctx)); err != nil {
				t.Error(err)
			}
			<-ended
		},
		"the application": func(t *testing.T, n *network, x *talker) {
			if err := say(x, "close"); err != nil {
				t.Error(err)
			}
			if _, err := x.conn.Receive(n.pair.ctx); err != io.EOF {
				t.Errorf("Receive: %v", err)
			}
			<-x.conn.Done()
		},
		"the application, with an error": func(t *testing.T, n *network, x *talker) {
			if err := say(x, "fail"); err != nil {
				t.Error(err)
			}
			_, err := x.conn.Receive(n.pair.ctx)
			if why := new(clientlib.CloseError); !errors.As(err, &why) || why.Reason != clientlib.ReasonApplicationError || why.Detail != "out of paper" {
				t.Errorf("Receive: %v", err)
			}
			<-x.conn.Done()
		},
		"one direction, then the other": func(t *testing.T, n *network, x *talker) {
			if err := x.conn.CloseSend(n.pair.ctx); err != nil {
				t.Error(err)
			}
			if m, err := x.conn.Receive(n.pair.ctx); err != nil || string(m.Payload) != "half" {
				t.Errorf("received %q, %v", m.Payload, err)
			}
			if err := x.conn.Close(n.pair.ctx); err != nil {
				t.Error(err)
			}
			<-ended
		},
	} {
		t.Run(name, func(t *testing.T) {
			ended = make(chan error, 1)
			onPair(t, nil, handler, func(t *testing.T, p *pair) {
				ended = make(chan error, 1)
				n := p.network()
				began := time.Now()
				x := n.talker(nil, everywhere...)
				test(t, n, x)
				synctest.Wait()
				for i, r := range p.relays {
					for range r.relay.registry.Connections() {
						t.Errorf("relay %d holds a connection", i+1)
					}
				}
				if d := time.Since(began); d > 10*time.Second {
					t.Errorf("it took %v", d)
				}
			})
		})
	}
}

// TestLibraryAtRandom breaks, shuts, reloads and asks at random while clients talk. Nothing is lost, doubled or reordered, and no
// connection is lost.
func TestLibraryAtRandom(t *testing.T) {
	for _, seed := range []uint64{1, rand.Uint64()} {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			short := func(c *config.Config) { c.ReconnectWindow = 2 * time.Second }
			onPair(t, short, echo, func(t *testing.T, p *pair) {
				n, random := p.network(), rand.New(rand.NewPCG(seed, seed))
				dialer, err := clientlib.NewDialer(3, n.options()...)
				if err != nil {
					t.Fatal(err)
				}
				var all []*talker
				for i := range 8 {
					all = append(all, n.talker([]*clientlib.Dialer{nil, dialer}[i%2], everywhere...))
				}
				var wg sync.WaitGroup
				for i, x := range all {
					wg.Go(func() {
						if err := x.exchange(p.ctx, 2000, time.Duration(10+i)*time.Millisecond); err != nil {
							t.Errorf("client %d: %v", i, err)
						}
					})
				}
				did := make(map[string]int)
				for range 60 {
					time.Sleep(time.Duration(random.IntN(1000)) * time.Millisecond)
					did[n.disturb(random)]++
				}
				n.shut(false, everywhere...)
				wg.Wait()
				moves := 0
				for i, x := range all {
					got, _ := x.moved()
					moves += got
					if err := x.exchange(p.ctx, 10, 0); err != nil {
						t.Errorf("client %d at the end: %v", i, err)
					}
					if err := x.conn.Close(p.ctx); err != nil {
						t.Errorf("client %d: %v", i, err)
					}
				}
				if len(did) != 5 || moves < len(all) {
					t.Errorf("%d moves, by %v", moves, did)
				}
			})
		})
	}
}

// disturb does one thing, and says what.
func (n *network) disturb(random *rand.Rand) string {
	address := everywhere[random.IntN(len(everywhere))]
	relay := n.pair.relays[address[0]-'0'].relay
	switch random.IntN(5) {
	case 0:
		n.cut(address)
		return "cut"
	case 1:
		n.shut(true, address)
		n.cut(address)
		time.AfterFunc(time.Duration(random.IntN(3000))*time.Millisecond, func() { n.shut(false, address) })
		return "shut"
	case 2:
		relay.clients.Ask(address[1:], holdfastv1.ReconnectReason_RECONNECT_REASON_INGRESS_RELOAD)
		return "ask"
	case 3:
		n.mu.Lock()
		all := slices.Sorted(maps.Keys(n.conns))
		n.mu.Unlock()
		for _, a := range all {
			n.cut(a)
		}
		return "cut all"
	default:
		for s := range slices.Values(relay.registry.ServerConnections()) {
			relay.registry.Draining(s, "the test says so")
			break
		}
		return "drain"
	}
}
