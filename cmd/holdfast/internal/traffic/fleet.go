package traffic

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/stats"
	resumable "github.com/holdfast/holdfast/pkg/client"
)

const (
	// maxConnecting is how many clients connect at once.
	maxConnecting = 64
	// A client that was disconnected comes back within firstBackoff, and later each time it fails.
	firstBackoff = 100 * time.Millisecond
	maxBackoff   = 2 * time.Second
)

// Fleet is a number of clients.
type Fleet struct {
	cfg Config
	// ready is closed when every client has received a message.
	ready chan struct{}
	// connecting has a place for each client that connects.
	connecting chan struct{}
	rtt        stats.Histogram

	mu sync.Mutex
	// All under mu.
	live       map[string]*session // by connection id
	silent     int                 // clients that have received nothing yet
	ended      Totals
	ingresses  map[string]*byIngress
	gaps       map[*client]time.Duration // the longest one of each client
	refused    map[string]uint64
	unfinished int
	opened     uint64          // logical connections
	breaks     []time.Duration // for how long no stream carried a connection that moved, for each move
}

// byIngress is what is known of the clients that came in through one ingress.
type byIngress struct {
	clients      int
	disconnected uint64
	reasons      map[string]uint64
}

// New returns the clients that the configuration asks for. Run runs them.
func New(cfg Config) (*Fleet, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	return &Fleet{
		cfg: cfg, ready: make(chan struct{}), connecting: make(chan struct{}, maxConnecting),
		live: map[string]*session{}, silent: cfg.Clients, ingresses: map[string]*byIngress{},
		gaps: map[*client]time.Duration{}, refused: map[string]uint64{},
	}, nil
}

// Ready is closed when every client has received its first message.
func (f *Fleet) Ready() <-chan struct{} { return f.ready }

// Run runs the clients until ctx is done, stops them in good order and returns what they saw.
func (f *Fleet) Run(ctx context.Context) Report {
	var clients sync.WaitGroup
	begin := time.Now()
	for n := range f.cfg.Clients {
		c := &client{fleet: f, address: f.cfg.Addresses[n%len(f.cfg.Addresses)]}
		clients.Go(func() { c.run(ctx) })
	}
	clients.Wait()
	return f.report(time.Since(begin))
}

// heard notes that a logical connection of the client received its first message.
func (f *Fleet) heard(c *client) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.heard {
		return
	}
	c.heard = true
	if f.silent--; f.silent == 0 {
		close(f.ready)
	}
}

func (f *Fleet) began(s *session) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := s.client
	f.opened++
	in := f.ingresses[s.ingress]
	if in == nil {
		in = &byIngress{reasons: map[string]uint64{}}
		f.ingresses[s.ingress] = in
	}
	if !c.known {
		c.known = true
		in.clients++
	}
	f.live[s.link.id()] = s
}

func (f *Fleet) over(s *session, o outcome) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.live, s.link.id())
	f.ended = f.ended.plus(o.totals)
	f.gaps[s.client] = max(f.gaps[s.client], s.maxGap)
	if o.unfinished {
		f.unfinished++
	}
	if o.cut != "" {
		in := f.ingresses[s.ingress]
		in.disconnected++
		in.reasons[o.cut]++
	}
}

// moved notes that a resumable client is on another stream.
func (f *Fleet) moved(r resumable.Recovered) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.breaks = append(f.breaks, r.Interrupted)
}

func (f *Fleet) refusedBy(address string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refused[fmt.Sprintf("%s: %s", address, reasonOf(err))]++
}

// client is one client: one logical connection after the other.
type client struct {
	fleet   *Fleet
	address string

	// Under the fleet's mu.
	known bool // it was counted for its ingress
	heard bool // it has received a message
}

func (c *client) run(ctx context.Context) {
	backoff := firstBackoff
	for ctx.Err() == nil {
		s, err := c.connect(ctx)
		if err == nil {
			backoff = firstBackoff
			c.converse(ctx, s)
		} else if ctx.Err() == nil {
			c.fleet.refusedBy(c.address, err)
		}
		if !wait(ctx, rand.N(backoff)) {
			return
		}
		if err != nil {
			backoff = min(backoff*2, maxBackoff)
		}
	}
}

func (c *client) connect(ctx context.Context) (*session, error) {
	select {
	case c.fleet.connecting <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-c.fleet.connecting }()
	return c.open(ctx)
}

func (c *client) converse(ctx context.Context, s *session) {
	c.fleet.began(s)
	s.run(ctx)
	graceOver := errors.Is(context.Cause(s.life), errStopGrace) &&
		(status.Code(s.ended) == codes.Canceled || errors.Is(s.ended, errStopGrace))
	c.fleet.over(s, s.judge(graceOver))
}

func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
