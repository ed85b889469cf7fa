package clients_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/holdfast/holdfast/pkg/verify"
)

// redialPause is for how long a plain client that was refused waits.
const redialPause = 100 * time.Millisecond

// browsers are a number of plain clients over WebSocket, which come back when they are cut.
type browsers struct {
	t       *testing.T
	life    context.Context
	halt    chan struct{}
	clients []*browser
	running sync.WaitGroup
}

// browser is one plain client over WebSocket.
type browser struct {
	addresses []*nginx
	halt      chan struct{}
	// alive counts the sessions that have got an echo; now is the one that is open, or nil.
	alive atomic.Uint64
	now   atomic.Pointer[session]

	// Owned by run, until it is done.
	ended   []*session
	refused map[string]int
}

// session is one WebSocket of a browser.
type session struct {
	conn           *websocket.Conn
	tcp            net.Conn
	ingress, relay string // that it came through, and the address of the one that it leads to
	began, over    time.Time
	// cut says that we cut its TCP connection.
	cut atomic.Bool
	// err is what it ended with, nil when it was stopped in good order.
	err error

	sent    atomic.Uint64
	echoes  *verify.Judge
	counts  verify.Sequence
	other   int
	stopped *verify.Stopped
	silence time.Duration
}

// startBrowsers connects the clients and has them send.
func startBrowsers(t *testing.T, n int, ingresses []*nginx) *browsers {
	t.Helper()
	life, end := context.WithCancel(context.Background())
	b := &browsers{t: t, life: life, halt: make(chan struct{})}
	t.Cleanup(func() {
		end()
		b.running.Wait()
	})
	for i := range n {
		at := i % len(ingresses)
		c := &browser{addresses: append(ingresses[at:len(ingresses):len(ingresses)], ingresses[:at]...), halt: b.halt, refused: map[string]int{}}
		b.clients = append(b.clients, c)
		b.running.Go(func() { c.run(life) })
	}
	b.waitProgress()
	return b
}

// run connects again and again, each time through another ingress, until the client is stopped, or the context ends.
func (c *browser) run(ctx context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		s, err := dialSession(ctx, c.addresses[n%len(c.addresses)])
		if err != nil {
			c.refused[err.Error()]++
			timer := time.NewTimer(redialPause)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
			}
			continue
		}
		c.now.Store(s)
		s.err = s.serve(ctx, c)
		s.over = time.Now()
		c.now.Store(nil)
		c.ended = append(c.ended, s)
		if s.err == nil {
			return
		}
	}
}

// dialSession opens one WebSocket.
func dialSession(ctx context.Context, in *nginx) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	s := &session{ingress: in.id, echoes: verify.NewJudge(rand.Uint64() | 1)}
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
			s.tcp = conn
			return conn, err
		},
	}
	conn, response, err := websocket.Dial(ctx, "ws://"+in.sockets, &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
	if err != nil {
		return nil, fmt.Errorf("ingress %s: %w", in.id, err)
	}
	tried := strings.Split(response.Header.Get(relayHeader), ", ")
	s.conn, s.relay, s.began = conn, tried[len(tried)-1], time.Now()
	return s, nil
}

// serve has the session's traffic go both ways until it is stopped or breaks. Its error is how it broke.
func (s *session) serve(ctx context.Context, c *browser) error {
	defer func() { _ = s.conn.CloseNow() }()
	ctx, cancel := context.WithCancel(ctx)
	var sending sync.WaitGroup
	defer sending.Wait()
	defer cancel()
	tag := rand.Uint64() | 1
	s.echoes = verify.NewJudge(tag)
	sending.Go(func() { _ = s.send(ctx, tag, c.halt) }) // the reader knows why it failed
	for last := time.Now(); s.stopped == nil; {
		kind, payload, err := s.conn.Read(ctx)
		if err != nil {
			return err
		}
		now := time.Now()
		s.silence, last = max(s.silence, now.Sub(last)), now
		if h, ok := judge(payload, kind == websocket.MessageText, s.echoes, &s.counts, &s.stopped, &s.other); ok && h.Number == 1 {
			c.alive.Add(1)
		}
	}
	return s.conn.Close(websocket.StatusNormalClosure, "")
}

// send sends until the client is stopped.
func (s *session) send(ctx context.Context, tag uint64, halt <-chan struct{}) error {
	if err := s.conn.Write(ctx, websocket.MessageText, []byte(verify.StartCount(countEvery))); err != nil {
		return err
	}
	random := rand.NewChaCha8([32]byte{byte(tag)})
	timer := time.NewTimer(rand.N(sendEvery))
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			timer.Reset(sendEvery)
		case <-halt:
			return s.conn.Write(ctx, websocket.MessageText, []byte(verify.Stop))
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		n := s.sent.Load() + 1
		payload, err := verify.Encode(verify.Header{Tag: tag, Number: n, Sent: time.Now()}, bytes, random)
		if err != nil {
			return err
		}
		s.sent.Store(n)
		if err := s.conn.Write(ctx, websocket.MessageBinary, payload); err != nil {
			return err
		}
	}
}

// cutAny cuts the TCP connection of one of the clients.
func (b *browsers) cutAny(random *rand.Rand) {
	s := b.clients[random.IntN(len(b.clients))].now.Load()
	if s == nil || s.cut.Swap(true) {
		return
	}
	if random.IntN(2) == 0 {
		(&socket{Conn: s.tcp}).reset()
	}
	_ = s.tcp.Close()
}

// waitProgress waits until every client has a session that gets echoes.
func (b *browsers) waitProgress() {
	b.t.Helper()
	waitFor(b.t, "a session with an echo for every plain client", func() bool {
		for _, c := range b.clients {
			s := c.now.Load()
			if s == nil || s.cut.Load() || c.alive.Load() == 0 {
				return false
			}
		}
		return true
	})
}

// stop has all clients stop, and returns how their sessions ended and what is wrong.
func (b *browsers) stop(caused *causes) (ends map[string]int, problems []string) {
	b.t.Helper()
	close(b.halt)
	done := make(chan struct{})
	go func() {
		b.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(readyTimeout):
		b.t.Fatalf("a plain client did not stop within %v", readyTimeout)
	}
	ends = map[string]int{}
	for i, c := range b.clients {
		for n, s := range c.ended {
			why, err := caused.why(s)
			if err != nil {
				problems = append(problems, fmt.Sprintf("plain client %d, session %d: %v", i, n+1, err))
			}
			ends[why]++
			for _, problem := range s.problems() {
				problems = append(problems, fmt.Sprintf("plain client %d, session %d: %s", i, n+1, problem))
			}
		}
	}
	return ends, problems
}

// problems returns what was wrong with the messages of the session, as far as it came.
func (s *session) problems() (problems []string) {
	if s.err == nil {
		return verdict(s.sent.Load(), s.echoes, &s.counts, *s.stopped, s.other)
	}
	for what, tally := range map[string]verify.Tally{"echoes": s.echoes.Prefix(), "counts": s.counts.Prefix()} {
		if !tally.Clean() {
			problems = append(problems, fmt.Sprintf("%s: %s", what, tally))
		}
	}
	return problems
}

// refusals returns how often clients were refused, by what they were told.
func (b *browsers) refusals() map[string]int {
	all := map[string]int{}
	for _, c := range b.clients {
		for text, n := range c.refused {
			all[text] += n
		}
	}
	return all
}

// errNoCause says that a session ended and nobody knows why.
var errNoCause = errors.New("it ended for no reason that was given")
