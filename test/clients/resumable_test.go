package clients_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast/pkg/client"
	"github.com/holdfast/holdfast/pkg/verify"
)

const (
	// What a client sends, and how often the application counts for it meanwhile.
	sendEvery  = 300 * time.Millisecond
	countEvery = 500 * time.Millisecond
	bytes      = 64
)

// resumable is one resumable client with numbered traffic both ways.
type resumable struct {
	conn *client.Connection
	tag  uint64
	// halt is closed when the client is to stop.
	halt    chan struct{}
	running sync.WaitGroup
	life    context.Context
	giveUp  context.CancelFunc
	// sent and echoed are the numbers of the last message, and of the last that came back.
	sent, echoed atomic.Uint64
	sendFailed   error // by the sender

	// Owned by the receiver, until running is done.
	echoes     *verify.Judge
	counts     verify.Sequence
	last       time.Time
	silence    time.Duration // the longest
	other      int           // texts that nobody expects
	stopped    *verify.Stopped
	recvFailed error
}

func newResumable(conn *client.Connection) *resumable {
	tag := rand.Uint64() | 1 // not 0
	return &resumable{conn: conn, tag: tag, halt: make(chan struct{}), echoes: verify.NewJudge(tag), giveUp: func() {}}
}

// begin has the client send and receive until it is stopped, or the context ends.
func (c *resumable) begin(life context.Context) {
	c.life, c.giveUp = context.WithCancel(life)
	c.running.Go(func() { c.sendFailed = c.send() })
	c.running.Go(func() { c.recvFailed = c.receive() })
}

// send sends numbered messages until the client is stopped, and says so to the application then.
func (c *resumable) send() error {
	say := func(text string) error { return c.conn.Send(c.life, client.Message{Payload: []byte(text), Text: true}) }
	if err := say(verify.StartCount(countEvery)); err != nil {
		return err
	}
	random := rand.NewChaCha8([32]byte{byte(c.tag), byte(c.tag >> 8), byte(c.tag >> 16)})
	timer := time.NewTimer(rand.N(sendEvery))
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			timer.Reset(sendEvery)
		case <-c.halt:
			return say(verify.Stop)
		case <-c.life.Done():
			return context.Cause(c.life)
		}
		n := c.sent.Load() + 1
		payload, err := verify.Encode(verify.Header{Tag: c.tag, Number: n, Sent: time.Now()}, bytes, random)
		if err != nil {
			return err
		}
		if err := c.conn.Send(c.life, client.Message{Payload: payload}); err != nil {
			return err
		}
		c.sent.Store(n)
	}
}

// receive judges what comes until the application says that it has stopped.
func (c *resumable) receive() error {
	c.last = time.Now()
	for c.stopped == nil {
		m, err := c.conn.Receive(c.life)
		if err != nil {
			return err
		}
		now := time.Now()
		c.last, c.silence = now, max(c.silence, now.Sub(c.last))
		if h, ok := judge(m.Payload, m.Text, c.echoes, &c.counts, &c.stopped, &c.other); ok {
			c.echoed.Store(h.Number)
		}
	}
	return nil
}

// judge judges one message of the sample application. It reports whether it is an echo, and which.
func judge(payload []byte, text bool, echoes *verify.Judge, counts *verify.Sequence, stopped **verify.Stopped, other *int) (verify.Header, bool) {
	if !text {
		return echoes.Saw(payload)
	}
	if n, ok := verify.ParseCount(string(payload)); ok {
		counts.Saw(n)
	} else if s, ok := verify.ParseStopped(string(payload)); ok {
		*stopped = &s
	} else {
		*other++
	}
	return verify.Header{}, false
}

// over reports whether the connection has ended.
func (c *resumable) over() bool {
	select {
	case <-c.conn.Done():
		return true
	default:
		return false
	}
}

// problems returns what the client saw that was not right.
func (c *resumable) problems() (problems []string) {
	if err := errors.Join(c.sendFailed, c.recvFailed); err != nil {
		problems = append(problems, fmt.Sprintf("its application noticed: %v", err))
	}
	if c.stopped == nil {
		return append(problems, "the application did not answer the stop")
	}
	return append(problems, verdict(c.sent.Load(), c.echoes, &c.counts, *c.stopped, c.other)...)
}

// verdict judges a connection that was stopped in good order: everything had to arrive, in one and the same run of the handler.
func verdict(sent uint64, echoes *verify.Judge, counts *verify.Sequence, stopped verify.Stopped, other int) (problems []string) {
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if !stopped.Tally.Clean() {
		say("on the way up: %s", stopped.Tally)
	}
	if tally := echoes.Complete(sent).Beyond(stopped.Tally); !tally.Clean() {
		say("echoes: %s", tally)
	}
	if tally := counts.Complete(stopped.Counted); !tally.Clean() {
		say("counts: %s", tally)
	}
	if received := sent + 1; stopped.Received != received { // with the one that began the counting
		say("the handler that answered has received %d messages of %d: it did not run from the beginning", stopped.Received, received)
	}
	if other > 0 {
		say("%d texts that are none of the application's", other)
	}
	return problems
}
