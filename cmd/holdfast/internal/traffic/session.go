package traffic

import (
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast/pkg/verify"
)

var (
	errStopGrace = errors.New("the stop grace is over")
	errNoWelcome = errors.New("the relay's first message is no welcome")
)

// session is one logical connection of a client.
type session struct {
	cfg    *Config
	client *client

	// Set by open, before anything else runs.
	life   context.Context
	cancel context.CancelCauseFunc
	link   link
	// ingress is the one that the client came in through at first.
	ingress string

	// Owned by the sender.
	tag    uint64
	random *rand.ChaCha8
	// sent is written by the sender only.
	sent atomic.Uint64

	// stopped is closed when the application has answered the stop, over when nothing is received any more.
	stopped chan struct{}
	over    chan struct{}

	mu sync.Mutex
	// Under mu; written by the receiver only.
	echo   *verify.Judge
	count  verify.Sequence
	echoed uint64
	// counted is the number of counter messages that came.
	counted uint64
	answer  *verify.Stopped
	last    time.Time
	maxGap  time.Duration
	// ended is why nothing is received any more; nil when the application closed the connection.
	ended error
}

// open connects and says hello. A session that was opened has to be run.
func (c *client) open(ctx context.Context) (*session, error) {
	var seed [32]byte
	_, _ = crand.Read(seed[:]) // Never fails.
	s := &session{
		cfg: &c.fleet.cfg, client: c, tag: max(binary.BigEndian.Uint64(seed[:]), 1), random: rand.NewChaCha8(seed),
		stopped: make(chan struct{}), over: make(chan struct{}),
	}
	s.echo = verify.NewJudge(s.tag)
	// The stream outlives the order to stop: what is under way is waited for.
	s.life, s.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	release := context.AfterFunc(ctx, func() { s.cancel(context.Cause(ctx)) })
	var err error
	if s.cfg.Resumable {
		s.link, err = openResumable(s.life, c.fleet)
	} else {
		s.link, err = openPlain(s.life, s.cfg, c.address)
	}
	if err != nil {
		release()
		s.cancel(nil)
		return nil, err
	}
	if !release() {
		s.close()
		return nil, context.Cause(ctx)
	}
	s.ingress, s.last = s.link.ingress(), time.Now()
	return s, nil
}

func (s *session) close() {
	s.link.close(s.life)
	s.cancel(nil)
}

// run sends and receives until the connection ends, and stops it in good order when ctx is done.
func (s *session) run(ctx context.Context) {
	defer s.close()
	var both sync.WaitGroup
	both.Go(s.receive)
	both.Go(func() { s.boundStop(ctx) })
	s.send(ctx)
	both.Wait()
}

// boundStop ends the session when the stop grace is over.
func (s *session) boundStop(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-s.over:
		return
	}
	grace := time.NewTimer(s.cfg.StopGrace)
	defer grace.Stop()
	select {
	case <-grace.C:
		s.cancel(errStopGrace)
	case <-s.over:
	}
}
