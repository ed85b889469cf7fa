package traffic

import (
	"errors"
	"io"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"

	"github.com/holdfast/holdfast/pkg/verify"
)

// receive is the receiver: it judges what comes until the stream is over.
func (s *session) receive() {
	defer close(s.over)
	for {
		response, err := s.stream.Recv()
		if err == nil {
			s.took(response, time.Now())
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

func (s *session) took(response *holdfastv1.ConnectResponse, now time.Time) {
	s.mu.Lock()
	first := s.echoed+s.counted == 0
	if s.answer == nil {
		s.maxGap = max(s.maxGap, now.Sub(s.last))
	}
	s.last = now
	switch c := response.GetContent().(type) {
	case *holdfastv1.ConnectResponse_Text:
		s.tookTextLocked(c.Text)
	case *holdfastv1.ConnectResponse_Binary:
		s.tookBinaryLocked(c.Binary, now)
	}
	for _, m := range response.GetMessages() {
		switch c := m.GetContent().(type) {
		case *holdfastv1.ClientMessage_Text:
			s.tookTextLocked(c.Text)
		case *holdfastv1.ClientMessage_Binary:
			s.tookBinaryLocked(c.Binary, now)
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
