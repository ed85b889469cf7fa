package relay

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/coder/websocket"
	"google.golang.org/protobuf/proto"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/services/relay/internal/clientleg"
	"github.com/holdfast/holdfast/services/relay/internal/config"
)

// frame is a ConnectRequest as a frame.
func frame(t *testing.T, m *holdfastv1.ConnectRequest) []byte {
	t.Helper()
	encoded, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

// exchange sends a request over the socket and returns the next response, or the error of the socket.
func (s *stage) exchange(conn *websocket.Conn, m *holdfastv1.ConnectRequest) (*holdfastv1.ConnectResponse, error) {
	s.t.Helper()
	if err := conn.Write(s.ctx, websocket.MessageBinary, frame(s.t, m)); err != nil {
		return nil, err
	}
	kind, encoded, err := conn.Read(s.ctx)
	if err != nil {
		return nil, err
	}
	response := &holdfastv1.ConnectResponse{}
	if err := proto.Unmarshal(encoded, response); err != nil || kind != websocket.MessageBinary {
		s.t.Fatalf("a frame of kind %v: %v", kind, err)
	}
	return response, nil
}

// Over WebSocket a client can do all that one over gRPC can: it resumes, and even a plain client may speak in these messages.
func TestSocketResumes(t *testing.T) {
	onSocketStage(t, nil, func(t *testing.T, s *stage) {
		old := s.socket("/", http.Header{"x-ingress-id": {"a"}}, clientleg.Protocol)
		welcome, err := s.exchange(old, hello("echo"))
		if err != nil || welcome.GetWelcome().GetResumeToken() != "" {
			t.Fatalf("a plain client got %v, %v", welcome, err)
		}
		old = s.socket("/", http.Header{"x-ingress-id": {"a"}}, "bearer.unused", clientleg.Protocol)
		welcome, err = s.exchange(old, &holdfastv1.ConnectRequest{Hello: &holdfastv1.Hello{Resumable: true}})
		if err != nil {
			t.Fatal(err)
		}
		large := bytes.Repeat([]byte{7}, 1<<20)
		m, err := s.exchange(old, &holdfastv1.ConnectRequest{
			Welcomed: true, FirstSeq: 1, Content: &holdfastv1.ConnectRequest_Binary{Binary: large},
		})
		if err != nil || m.GetFirstSeq() != 1 || !bytes.Equal(m.GetBinary(), large) {
			t.Fatalf("%d bytes as number %d, %v", len(m.GetBinary()), m.GetFirstSeq(), err)
		}
		next := s.socket("/", http.Header{"x-ingress-id": {"b"}}, clientleg.Protocol)
		m, err = s.exchange(next, &holdfastv1.ConnectRequest{Hello: &holdfastv1.Hello{
			Resume: &holdfastv1.ResumeRequest{Token: welcome.GetWelcome().GetResumeToken(), ReceivedSeq: 1, ConsumedSeq: 1},
		}})
		if err != nil || !m.GetWelcome().GetRecovered() || m.GetWelcome().GetIngress() != "b" || m.GetWelcome().GetReceivedSeq() != 1 {
			t.Fatalf("%v, %v", m, err)
		}
		if code, text := s.closeOf(old); code != 4015 {
			t.Errorf("the old socket was closed with %d, %q", code, text)
		}
		m, err = s.exchange(next, &holdfastv1.ConnectRequest{Welcomed: true, FirstSeq: 2, Messages: []*holdfastv1.ClientMessage{item("two")}})
		if err != nil || m.GetFirstSeq() != 2 || m.GetText() != "two" {
			t.Fatalf("%v, %v", m, err)
		}
	})
}

func TestSocketOfMessagesCloses(t *testing.T) {
	badText := frame(t, &holdfastv1.ConnectRequest{Content: &holdfastv1.ConnectRequest_Binary{Binary: []byte("\xff")}})
	badText[0] = 2<<3 | 2 // the same bytes as a text
	for name, c := range map[string]struct {
		kind websocket.MessageType
		sent []byte
		code websocket.StatusCode
	}{
		"a text frame":           {websocket.MessageText, []byte("hello"), 4130},
		"no protobuf":            {websocket.MessageBinary, []byte("\xff\xff\xff"), 4130},
		"an empty frame":         {websocket.MessageBinary, nil, 4118},
		"text that is not UTF-8": {websocket.MessageBinary, badText, websocket.StatusInvalidFramePayloadData},
		"a message over the limit": {websocket.MessageBinary, frame(t, &holdfastv1.ConnectRequest{
			Content: &holdfastv1.ConnectRequest_Binary{Binary: make([]byte, 64<<10+1)},
		}), websocket.StatusMessageTooBig},
		"a frame over the limit": {websocket.MessageBinary, make([]byte, 1<<20), websocket.StatusMessageTooBig},
	} {
		t.Run(name, func(t *testing.T) {
			onSocketStage(t, func(c *config.Config) { c.MaxMessageBytes = 64 << 10 }, func(t *testing.T, s *stage) {
				conn := s.socket("/", nil, clientleg.Protocol)
				if err := conn.Write(s.ctx, c.kind, c.sent); err != nil {
					t.Fatal(err)
				}
				if code, text := s.closeOf(conn); code != c.code {
					t.Errorf("closed with %d, %q; want %d", code, text, c.code)
				}
			})
		})
	}
}
