package clients_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/holdfast/holdfast/pkg/client"
	"github.com/holdfast/holdfast/pkg/wire"
)

const (
	// streams is how many resumable clients share one TCP connection at most.
	streams = 25
	// atOnce is how many of them connect or close at the same time.
	atOnce = 50
)

// fleet is a number of resumable clients.
type fleet struct {
	t       *testing.T
	life    context.Context
	sockets *cuts
	clients []*resumable

	mu sync.Mutex
	// Under mu: how often clients moved for what cause, how many of the moves ended before the old stream did, the longest time that
	// a client was with no stream, and those that were lost.
	causes      map[string]int
	seamless    int
	interrupted time.Duration
	lost        []string
}

// startFleet connects the clients and has them send.
func startFleet(t *testing.T, n int, addresses []string) *fleet {
	t.Helper()
	life, end := context.WithCancel(context.Background())
	f := &fleet{t: t, life: life, sockets: &cuts{}, causes: map[string]int{}, clients: make([]*resumable, n)}
	t.Cleanup(func() { f.abandon(end) })
	dialer, err := client.NewDialer(streams, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) { return f.sockets.dial(ctx, address) }))
	if err != nil {
		t.Fatal(err)
	}
	if err := each(f.clients, func(i int) error {
		ctx, cancel := context.WithTimeout(life, readyTimeout)
		defer cancel()
		conn, err := client.Dial(ctx, client.Config{
			Addresses: addresses, Dialer: dialer, Logger: slog.New(slog.DiscardHandler), Events: func(e client.Event) { f.take(i, e) },
		})
		if err == nil {
			f.clients[i] = newResumable(conn)
		}
		return err
	}); err != nil {
		t.Fatalf("connect: %v", err)
	}
	for _, c := range f.clients {
		c.begin(life)
	}
	return f
}

// abandon lets go of everything, whatever state it is in.
func (f *fleet) abandon(end context.CancelFunc) {
	end()
	for _, c := range f.clients {
		if c != nil {
			c.running.Wait()
			_ = c.conn.Close(f.life) // at once, as the context has ended
		}
	}
}

// take notes what happened to a client.
func (f *fleet) take(i int, e client.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch e := e.(type) {
	case client.Reconnecting:
		f.causes[causeOf(e.Why)]++
	case client.Recovered:
		f.interrupted = max(f.interrupted, e.Interrupted)
		if e.Interrupted == 0 {
			f.seamless++
		}
	case client.Lost:
		f.lost = append(f.lost, fmt.Sprintf("client %d is lost: %v", i, e.Err))
	}
}

// causeOf says in a word why a client moves.
func causeOf(why error) string {
	if reason := wire.ErrorReasonOf(why); reason != "" {
		return reason
	}
	var broken interface{ GRPCStatus() *status.Status }
	if errors.As(why, &broken) {
		return streamBroke
	}
	return why.Error()
}

// The causes for which clients may move here.
const (
	streamBroke = "the stream broke"
	pathLeaves  = "the path is about to go: its transport was told so, or was lost"
	askedReload = "the relay asks for it: INGRESS_RELOAD"
	askedEnd    = "the relay asks for it: RELAY_SHUTDOWN"
)

// expected are the causes that have to be there, and tolerated those that may be: a client that is late gets the first, and the
// second when its old stream was still there as its new one broke and it came back to the same relay.
var (
	expected  = []string{streamBroke, pathLeaves, askedReload, askedEnd}
	tolerated = []string{"RELAY_SHUTDOWN", "RESUMED_ELSEWHERE"}
)

// ids returns the ids of the connections.
func (f *fleet) ids() map[string]bool {
	all := map[string]bool{}
	for _, c := range f.clients {
		all[c.conn.ID()] = true
	}
	return all
}

// waitProgress waits until every client has got something that was sent from now on.
func (f *fleet) waitProgress() {
	f.t.Helper()
	before := make([]uint64, len(f.clients))
	for i, c := range f.clients {
		before[i] = c.sent.Load()
	}
	waitFor(f.t, "an echo to every resumable client that is not lost", func() bool {
		for i, c := range f.clients {
			if c.echoed.Load() <= before[i] && !c.over() {
				return false
			}
		}
		return true
	})
}

// stop has all clients stop, and returns what is wrong.
func (f *fleet) stop() (problems []string) {
	f.t.Helper()
	for _, c := range f.clients {
		close(c.halt)
	}
	over := time.AfterFunc(readyTimeout, func() { f.abandonSenders() })
	defer over.Stop()
	for i, c := range f.clients {
		c.running.Wait()
		for _, problem := range c.problems() {
			problems = append(problems, fmt.Sprintf("client %d, connection %s: %s", i, c.conn.ID(), problem))
		}
	}
	if err := each(f.clients, func(i int) error {
		ctx, cancel := context.WithTimeout(f.life, readyTimeout)
		defer cancel()
		return f.clients[i].conn.Close(ctx)
	}); err != nil {
		problems = append(problems, fmt.Sprintf("close: %v", err))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return append(problems, f.lost...)
}

// abandonSenders ends the clients that did not stop in time.
func (f *fleet) abandonSenders() {
	for _, c := range f.clients {
		c.giveUp()
	}
}

// wrongCauses returns what is wrong with why the clients moved.
func wrongCauses(causes map[string]int) (problems []string) {
	for _, cause := range expected {
		if causes[cause] == 0 {
			problems = append(problems, fmt.Sprintf("no client moved for this cause: %s", cause))
		}
	}
	for _, cause := range slices.Sorted(maps.Keys(causes)) {
		if !slices.Contains(expected, cause) && !slices.Contains(tolerated, cause) {
			problems = append(problems, fmt.Sprintf("clients moved %d times for a cause that nobody gave: %s", causes[cause], cause))
		}
	}
	return problems
}

// summary says what the clients went through.
func (f *fleet) summary() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var sent, echoed, counted, moves, duplicates uint64
	var silence time.Duration
	for _, c := range f.clients {
		stats := c.conn.Stats()
		sent, echoed, counted = sent+c.sent.Load(), echoed+c.echoed.Load(), counted+c.counts.Highest()
		moves, duplicates = moves+stats.Moves, duplicates+stats.Duplicates
		silence = max(silence, c.silence)
	}
	made, cut := f.sockets.counts()
	return fmt.Sprintf("%d resumable clients sent %d messages and received %d; %d moves, %d of them while the old stream still lived, began as %v; "+
		"%d duplicates were dropped; the longest silence of one was %v, the longest time with no stream %v; %d of %d TCP connections were cut",
		len(f.clients), sent, echoed+counted, moves, f.seamless, f.causes, duplicates, silence.Round(time.Millisecond),
		f.interrupted.Round(time.Millisecond), cut, made)
}

// each calls it with the index of each item, a few at once, and returns the errors.
func each[T any](items []T, do func(i int) error) error {
	var running sync.WaitGroup
	var next atomic.Int64
	errs := make([]error, len(items))
	for range min(atOnce, len(items)) {
		running.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(items); i = int(next.Add(1)) - 1 {
				errs[i] = do(i)
			}
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

// newRandom returns a source of its own for one client.
func newRandom() *rand.Rand { return rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())) }
