package relay

import (
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/services/relay/internal/config"
)

// TestRandomSchedules moves, cuts, stalls and reloads at random under traffic. Every message must come once and in order, and
// no client must be disconnected.
func TestRandomSchedules(t *testing.T) {
	seeds := []uint64{1, rand.Uint64(), rand.Uint64()}
	if s := os.Getenv("HOLDFAST_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("HOLDFAST_SEED=%q: %v", s, err)
		}
		seeds = []uint64{seed}
	}
	for _, seed := range seeds {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Logf("HOLDFAST_SEED=%d repeats it", seed)
			change := func(c *config.Config) { c.HeartbeatInterval, c.MigrationTimeout = time.Second, 2*time.Second }
			onStage(t, change, func(t *testing.T, s *stage) { newChaos(t, s, seed).run(80) })
		})
	}
}

// chaos is an app server on three ingresses, clients that talk to it, and what befalls them.
type chaos struct {
	*stage
	rand      *rand.Rand
	tap       *tap
	ingresses []string
	guests    []*guest
	// releases end the stalls that are not over.
	releases sync.WaitGroup
	did      map[string]int
}

func newChaos(t *testing.T, s *stage, seed uint64) *chaos {
	c := &chaos{
		stage: s, rand: rand.New(rand.NewPCG(seed, seed)), ingresses: []string{"a", "b", "c"}, did: make(map[string]int),
	}
	c.tap, _ = s.server("app-1", echo, c.ingresses...)
	t.Cleanup(c.releases.Wait)
	for range 5 {
		c.guests = append(c.guests, s.guest("z"))
	}
	return c
}

func (c *chaos) run(steps int) {
	stop := c.traffic(c.guests...)
	for range steps {
		time.Sleep(time.Duration(c.rand.IntN(1500)) * time.Millisecond)
		c.step()
		c.tap.take()
	}
	c.releases.Wait()
	time.Sleep(30 * time.Second) // whatever is parked is resumed by now
	if err := stop(); err != nil {
		c.t.Errorf("a client saw %v", err)
	}
	messages := 0
	for _, g := range c.guests {
		if err := g.exchange(3, 0); err != nil {
			c.t.Errorf("at the end a client saw %v", err)
		}
		messages += g.got
	}
	if n := c.counter("holdfast.relay.connections.closed", ""); n != 0 {
		c.t.Errorf("%d connections were closed", n)
	}
	c.t.Logf("%d messages there and back, %v; %d moved, %d resumed", messages, c.did,
		c.counter("holdfast.relay.moves", "moved"), c.counter("holdfast.relay.moves", "resumed"))
	if resumed := c.counter("holdfast.relay.moves", "resumed"); resumed == 0 || messages < 1000 {
		c.t.Errorf("%d resumes and %d messages prove nothing", resumed, messages)
	}
}

// step does one thing at random.
func (c *chaos) step() {
	ingress := c.ingresses[c.rand.IntN(len(c.ingresses))]
	switch what := c.rand.IntN(10); {
	case what < 3:
		c.did["cuts"]++
		c.tap.cut(ingress)
	case what < 4:
		c.did["cuts of all"]++
		for _, i := range c.ingresses {
			c.tap.cut(i)
		}
	case what < 7:
		c.did["stalls"]++
		c.stall(ingress, []string{"in", "out", "in out"}[c.rand.IntN(3)], time.Duration(c.rand.IntN(8000))*time.Millisecond)
	case what < 9:
		c.did["moves"]++
		g := c.guests[c.rand.IntN(len(c.guests))]
		c.releases.Go(func() { // it may be refused, and does not end before a stall does
			_, _ = c.admin.MoveConnection(c.ctx, &holdfastv1.MoveConnectionRequest{ConnectionId: g.id})
		})
	default:
		c.did["reloads"]++
		c.startReload(ingress, time.Second)
		c.releases.Go(func() {
			time.Sleep(2 * time.Second)
			_, _ = c.admin.CompleteReload(c.ctx, &holdfastv1.CompleteReloadRequest{Ingress: ingress}) // it may be over
		})
	}
}

// stall holds directions of the path for the time, unless they are held already.
func (c *chaos) stall(ingress, directions string, d time.Duration) {
	for direction := range strings.FieldsSeq(directions) {
		if c.tap.isHeld(ingress, direction) {
			continue
		}
		release := c.tap.hold(ingress, direction)
		c.releases.Go(func() {
			time.Sleep(d)
			release()
		})
	}
}
