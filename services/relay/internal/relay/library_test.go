package relay

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	clientlib "github.com/holdfast/holdfast/pkg/client"
	"github.com/holdfast/holdfast/services/relay/internal/config"
)

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
