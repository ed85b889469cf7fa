package traffic

import (
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"

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
	conn    *grpc.ClientConn
	life    context.Context
	stream  holdfastv1.ClientConnectionService_ConnectClient
	cancel  context.CancelCauseFunc
	welcome *holdfastv1.Welcome

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
	var err error
	s.conn, err = grpc.NewClient(c.address, append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
	}, s.cfg.DialOptions...)...)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", c.address, err)
	}
	// The stream outlives the order to stop: what is under way is waited for.
	s.life, s.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	release := context.AfterFunc(ctx, func() { s.cancel(context.Cause(ctx)) })
	err = s.greet()
	if !release() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *session) close() {
	s.cancel(nil)
	_ = s.conn.Close()
}

func (s *session) greet() error {
	stream, err := holdfastv1.NewClientConnectionServiceClient(s.conn).Connect(s.life)
	if err != nil {
		return err
	}
	s.stream = stream
	hello := &holdfastv1.Hello{Application: s.cfg.Application, Batches: true}
	if err := stream.Send(&holdfastv1.ConnectRequest{Hello: hello}); err != nil {
		_, err = stream.Recv() // Has the status that Send does not tell.
		return err
	}
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	if s.welcome = first.GetWelcome(); s.welcome == nil {
		return errNoWelcome
	}
	s.last = time.Now()
	return nil
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
