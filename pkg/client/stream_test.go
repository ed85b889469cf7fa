package client_test

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// stream is the relay's side of one client's stream.
type stream struct {
	relay   *relay
	ingress string
	name    string // which one it was, from 1
	raw     holdfastv1.ClientConnectionService_ConnectServer
	logical *logical
	end     chan error
	over    chan struct{}

	sending sync.Mutex
}

func (s *stream) respond(m *holdfastv1.ConnectResponse) {
	s.relay.t.Helper()
	s.sending.Lock()
	defer s.sending.Unlock()
	if err := s.raw.Send(m); err != nil && !s.isOver() {
		s.relay.t.Errorf("sending via stream %s: %v", s.name, err)
	}
}

// send sends messages, the first of which has the number.
func (s *stream) send(first uint64, payloads ...string) {
	s.relay.t.Helper()
	m := &holdfastv1.ConnectResponse{FirstSeq: first}
	for _, p := range payloads {
		m.Messages = append(m.Messages, &holdfastv1.ClientMessage{Content: &holdfastv1.ClientMessage_Text{Text: p}})
	}
	s.respond(m)
}

// closes sends the application's close with the number.
func (s *stream) closes(seq uint64, reason holdfastv1.CloseReason, detail string) {
	s.relay.t.Helper()
	s.respond(&holdfastv1.ConnectResponse{FirstSeq: seq, Messages: []*holdfastv1.ClientMessage{{
		Content: &holdfastv1.ClientMessage_Close{Close: &holdfastv1.ClientClose{Reason: reason, Detail: detail}},
	}}})
}

// receipt says that the application has consumed all through the number.
func (s *stream) receipt(consumed uint64) {
	s.relay.t.Helper()
	s.relay.mu.Lock()
	s.logical.consumed = max(s.logical.consumed, consumed)
	s.relay.mu.Unlock()
	s.respond(&holdfastv1.ConnectResponse{ConsumedSeq: consumed})
}

// reconnect asks the client to move.
func (s *stream) reconnect(reason holdfastv1.ReconnectReason, delay time.Duration) {
	s.relay.t.Helper()
	s.respond(&holdfastv1.ConnectResponse{Reconnect: &holdfastv1.Reconnect{Reason: reason, Delay: durationpb.New(delay)}})
}

// renew gives the client another resume token.
func (s *stream) renew(token string) {
	s.relay.t.Helper()
	s.relay.mu.Lock()
	s.logical.token = token
	s.relay.mu.Unlock()
	s.respond(&holdfastv1.ConnectResponse{ResumeToken: token})
}

// finish ends the stream from the relay's side.
func (s *stream) finish(err error) { s.end <- err }

// isOver reports whether the stream has ended.
func (s *stream) isOver() bool {
	select {
	case <-s.over:
		return true
	default:
		return s.raw.Context().Err() != nil
	}
}

func (s *stream) read() {
	defer close(s.over)
	for {
		m, err := s.raw.Recv()
		if err != nil {
			return
		}
		s.relay.note("%s>%s", s.name, describe(m))
		if consumed := s.take(m); consumed > 0 {
			s.respond(&holdfastv1.ConnectResponse{ConsumedSeq: consumed})
		}
	}
}

// take takes the messages as an app server does, and returns what it acknowledges.
func (s *stream) take(m *holdfastv1.ConnectRequest) (consumed uint64) {
	r := s.relay
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range m.GetMessages() {
		switch seq := m.GetFirstSeq() + uint64(i); {
		case seq == s.logical.received+1:
			s.logical.received = seq
		case seq > s.logical.received:
			r.t.Errorf("message %d came after message %d", seq, s.logical.received)
		}
	}
	if len(m.GetMessages()) == 0 || s.logical.silent {
		return 0
	}
	s.logical.consumed = s.logical.received
	return s.logical.consumed
}

// describe returns the request as a note: its messages as number:payload, joined by commas, and the rest by plus signs.
func describe(m *holdfastv1.ConnectRequest) string {
	var parts, messages []string
	if m.GetHello() != nil {
		parts = append(parts, "hello")
	}
	if m.GetWelcomed() {
		parts = append(parts, "welcomed")
	}
	for i, item := range m.GetMessages() {
		text := ""
		switch content := item.GetContent().(type) {
		case *holdfastv1.ClientMessage_Text:
			text = content.Text
		case *holdfastv1.ClientMessage_Binary:
			text = fmt.Sprintf("%x", content.Binary)
		case *holdfastv1.ClientMessage_HalfClose:
			text = "half_close"
		case *holdfastv1.ClientMessage_Close:
			text = "close"
		}
		messages = append(messages, fmt.Sprintf("%d:%s", m.GetFirstSeq()+uint64(i), text))
	}
	if len(messages) > 0 {
		parts = append(parts, strings.Join(messages, ","))
	}
	if m.GetConsumedSeq() > 0 {
		parts = append(parts, fmt.Sprint("consumed", m.GetConsumedSeq()))
	}
	return strings.Join(parts, "+")
}
