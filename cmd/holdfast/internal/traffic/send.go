package traffic

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/holdfast/holdfast/pkg/verify"
)

// send is the sender: it sends until ctx is done or the stream is over, and stops the application then.
func (s *session) send(ctx context.Context) {
	if interval := s.cfg.CountInterval; interval > 0 && s.sendText(verify.StartCount(interval)) != nil {
		return
	}
	if !s.sendNumbers(ctx) || s.sendText(verify.Stop) != nil {
		return
	}
	select {
	case <-s.stopped:
		_ = s.link.closeSend(s.life) // The application ends the connection then.
	case <-s.over:
	}
}

// sendNumbers sends the numbered messages at the rate. It is true when it was told to stop, false when the
// stream is over.
func (s *session) sendNumbers(ctx context.Context) bool {
	ticks := (<-chan time.Time)(nil)
	if s.cfg.Rate > 0 {
		interval := time.Duration(float64(time.Second) / s.cfg.Rate)
		// The clients do not send in step.
		if !s.pause(ctx, rand.N(interval)) {
			return ctx.Err() != nil
		}
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		ticks = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return true
		case <-s.over:
			return false
		case <-ticks:
		}
		if s.sendNumber() != nil {
			return false
		}
	}
}

func (s *session) pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-s.over:
	}
	return false
}

func (s *session) sendNumber() error {
	number := s.sent.Load() + 1
	payload, err := verify.Encode(verify.Header{Tag: s.tag, Number: number, Sent: time.Now()}, s.cfg.Size, s.random)
	if err == nil {
		err = s.link.send(s.life, message{binary: payload})
	}
	if err == nil {
		s.sent.Store(number)
	}
	return err
}

func (s *session) sendText(text string) error {
	return s.link.send(s.life, message{text: text})
}
