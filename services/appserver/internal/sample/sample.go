// Package sample is the sample application: it echoes each message unchanged, and counts on demand.
//
// The text message "count INTERVAL" (such as "count 20ms") starts a counter that sends the texts
// "count 1", "count 2", … every INTERVAL, between the echoes. The text message "stop" ends it and is
// answered with "stopped counted=<n> received=<m>" and the faults of the traffic messages that came up.
package sample

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/holdfast/holdfast/pkg/appserver"
	"github.com/holdfast/holdfast/pkg/verify"
)

// minInterval keeps one client from making the counter a busy loop.
const minInterval = time.Millisecond

// ServeConnection serves one logical connection; it is an appserver.HandlerFunc.
func ServeConnection(ctx context.Context, c *appserver.Connection) error { return serve(ctx, c) }

// connection is what the sample needs of an appserver.Connection.
type connection interface {
	Receive(ctx context.Context) (appserver.Message, error)
	Send(ctx context.Context, m appserver.Message) error
}

func serve(ctx context.Context, c connection) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &session{conn: c, judge: verify.NewJudge(0)}
	for {
		m, err := c.Receive(ctx)
		switch {
		case err == nil:
			err = s.handle(ctx, m)
		case errors.Is(err, io.EOF) && s.counter.running():
			continue // The client only listens from now on, until the connection is closed.
		case errors.Is(err, io.EOF):
			return nil
		}
		if err != nil {
			cancel() // The counter may be waiting in a Send.
			_ = s.counter.stop()
			return err
		}
	}
}

// session is the state of one logical connection, owned by its handler's goroutine.
type session struct {
	conn     connection
	judge    *verify.Judge
	received uint64
	counter  *counter // nil when none was started
}

func (s *session) handle(ctx context.Context, m appserver.Message) error {
	if m.Text && string(m.Payload) == verify.Stop {
		return s.stop(ctx)
	}
	s.received++
	if m.Text {
		if interval, ok := verify.ParseStartCount(string(m.Payload)); ok {
			return s.start(ctx, interval)
		}
	} else {
		s.judge.Saw(m.Payload)
	}
	return s.conn.Send(ctx, m)
}

// start starts the counter anew, from 1.
func (s *session) start(ctx context.Context, interval time.Duration) error {
	if interval < minInterval {
		return s.say(ctx, fmt.Sprintf("refused: count %s: the interval is %s or more", interval, minInterval))
	}
	if err := s.counter.stop(); err != nil {
		return err
	}
	s.counter = startCounter(interval, func(n uint64) error { return s.say(ctx, verify.Count(n)) })
	return nil
}

func (s *session) stop(ctx context.Context) error {
	if err := s.counter.stop(); err != nil {
		return err
	}
	return s.say(ctx, verify.Stopped{
		Counted: s.counter.counted(), Received: s.received, Tally: s.judge.Prefix(),
	}.String())
}

func (s *session) say(ctx context.Context, text string) error {
	return s.conn.Send(ctx, appserver.Message{Payload: []byte(text), Text: true})
}
