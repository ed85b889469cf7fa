package traffic

import (
	"errors"
	"io"
	"time"

	"github.com/holdfast/holdfast/pkg/verify"
)

// receive is the receiver: it judges what comes until the connection is over.
func (s *session) receive() {
	defer close(s.over)
	var all []message
	for {
		var err error
		if all, err = s.link.receive(s.life, all[:0]); err == nil {
			s.took(all, time.Now())
			continue
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
		s.mu.Lock()
		s.ended = err
		s.mu.Unlock()
		return
	}
}

func (s *session) took(all []message, now time.Time) {
	s.mu.Lock()
	first := s.echoed+s.counted == 0
	if s.answer == nil {
		s.maxGap = max(s.maxGap, now.Sub(s.last))
	}
	s.last = now
	for _, m := range all {
		if m.binary != nil {
			s.tookBinaryLocked(m.binary, now)
		} else {
			s.tookTextLocked(m.text)
		}
	}
	s.mu.Unlock()
	if first {
		s.client.fleet.heard(s.client)
	}
}

func (s *session) tookBinaryLocked(payload []byte, now time.Time) {
	s.echoed++
	if h, sound := s.echo.Saw(payload); sound {
		s.client.fleet.rtt.Add(now.Sub(h.Sent))
	}
}

func (s *session) tookTextLocked(text string) {
	if n, ok := verify.ParseCount(text); ok {
		s.counted++
		s.count.Saw(n)
		return
	}
	stopped, ok := verify.ParseStopped(text)
	if !ok || s.answer != nil {
		s.count.SawCorrupted(0)
		return
	}
	s.answer = &stopped
	close(s.stopped)
}
