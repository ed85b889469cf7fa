package relay

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/appserver"
	"github.com/holdfast/holdfast/services/relay/internal/config"
)

// dialSocket connects over WebSocket. Its error has the HTTP status when the relay refuses the upgrade.
func (s *stage) dialSocket(url string, header http.Header, protocols ...string) (*websocket.Conn, *http.Response, error) {
	s.t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return s.sockets.dial(ctx) }}
	s.t.Cleanup(transport.CloseIdleConnections)
	conn, response, err := websocket.Dial(s.ctx, "ws://relay.test"+url, &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: transport}, HTTPHeader: header, Subprotocols: protocols,
	})
	if conn != nil {
		conn.SetReadLimit(-1)
		s.t.Cleanup(func() { _ = conn.CloseNow() })
	}
	return conn, response, err
}

// socket connects over WebSocket and is let in.
func (s *stage) socket(url string, header http.Header, protocols ...string) *websocket.Conn {
	s.t.Helper()
	conn, _, err := s.dialSocket(url, header, protocols...)
	if err != nil {
		s.t.Fatal(err)
	}
	return conn
}

// closeOf reads to the end and returns how the relay closed.
func (s *stage) closeOf(conn *websocket.Conn) (websocket.StatusCode, string) {
	s.t.Helper()
	for {
		_, _, err := conn.Read(s.ctx)
		if closed := new(websocket.CloseError); err != nil {
			if asClose(err, closed) {
				return closed.Code, closed.Reason
			}
			return -1, err.Error()
		}
	}
}

func asClose(err error, into *websocket.CloseError) bool {
	code := websocket.CloseStatus(err)
	if code < 0 {
		return false
	}
	*into = websocket.CloseError{Code: code, Reason: err.Error()}
	return true
}

func onSocketStage(t *testing.T, change func(*config.Config), run func(t *testing.T, s *stage)) {
	t.Helper()
	onStage(t, func(c *config.Config) {
		c.Applications = []string{"echo"}
		if change != nil {
			change(c)
		}
	}, func(t *testing.T, s *stage) {
		s.server("app-1", echo, "a", "b")
		run(t, s)
	})
}

// A frame is a message, text stays text and binary binary, empty ones and the largest too.
func TestSocketMessages(t *testing.T) {
	onSocketStage(t, func(c *config.Config) { c.MaxMessageBytes = 64 << 10 }, func(t *testing.T, s *stage) {
		conn := s.socket("/", nil)
		for _, m := range []struct {
			kind websocket.MessageType
			body []byte
		}{
			{websocket.MessageText, []byte("hello ✓")},
			{websocket.MessageBinary, []byte("\x00\xff\xfe")},
			{websocket.MessageText, nil},
			{websocket.MessageBinary, bytes.Repeat([]byte{7}, 64<<10)},
		} {
			if err := conn.Write(s.ctx, m.kind, m.body); err != nil {
				t.Fatal(err)
			}
			kind, body, err := conn.Read(s.ctx)
			if err != nil || kind != m.kind || !bytes.Equal(body, m.body) {
				t.Errorf("sent %v of %d bytes, got %v of %d, %v", m.kind, len(m.body), kind, len(body), err)
			}
		}
	})
}

// What a client sends without waiting for the answer to its upgrade is not lost, nor what follows in small pieces.
func TestSocketEarlyMessages(t *testing.T) {
	onSocketStage(t, nil, func(t *testing.T, s *stage) {
		conn, err := s.sockets.dial(s.ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		sent := "GET / HTTP/1.1\r\nHost: relay.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
			"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n" + "\x81\x83\x00\x00\x00\x00one"
		go func() {
			_, _ = conn.Write([]byte(sent))
			for _, b := range []byte("\x81\x83\x00\x00\x00\x00two" + "\x82\x80\x00\x00\x00\x00") {
				_, _ = conn.Write([]byte{b})
			}
		}()
		in := bufio.NewReader(conn)
		response, err := http.ReadResponse(in, nil)
		if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("got %v, %v", response, err)
		}
		const want = "\x81\x03one" + "\x81\x03two" + "\x82\x00"
		got := make([]byte, len(want))
		if _, err := io.ReadFull(in, got); err != nil || string(got) != want {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	})
}

// Each end has its code: the standard's where it has one, else one of ours, and the reason in words.
func TestSocketCloses(t *testing.T) {
	for name, c := range map[string]struct {
		url  string
		do   func(s *stage, conn *websocket.Conn)
		code websocket.StatusCode
		text string
	}{
		"an unknown application": {"/?application=nope", nil, 4106, "UNKNOWN_APPLICATION: "},
		"text that is not UTF-8": {"/", func(s *stage, conn *websocket.Conn) {
			_ = conn.Write(s.ctx, websocket.MessageText, []byte("\xff"))
		}, websocket.StatusInvalidFramePayloadData, "UNEXPECTED_MESSAGE: "},
		"a message over the limit": {"/", func(s *stage, conn *websocket.Conn) {
			_ = conn.Write(s.ctx, websocket.MessageBinary, make([]byte, 1<<20+1))
		}, websocket.StatusMessageTooBig, ""},
		"a relay that shuts down": {"/", func(s *stage, _ *websocket.Conn) {
			go s.stop()
		}, websocket.StatusGoingAway, "RELAY_SHUTDOWN"},
	} {
		t.Run(name, func(t *testing.T) {
			onSocketStage(t, nil, func(t *testing.T, s *stage) {
				conn := s.socket(c.url, nil)
				if c.do != nil {
					c.do(s, conn)
				}
				if code, text := s.closeOf(conn); code != c.code || !strings.Contains(text, c.text) {
					t.Errorf("closed with %d, %q; want %d, %q", code, text, c.code, c.text)
				}
			})
		})
	}
}

// The application's end is a normal one, after all that it sent.
func TestSocketEndsNormally(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		s.server("app-1", appserver.HandlerFunc(func(ctx context.Context, c *appserver.Connection) error {
			return c.Send(ctx, appserver.Message{Payload: []byte("bye"), Text: true})
		}), "a")
		conn := s.socket("/", nil)
		if _, body, err := conn.Read(s.ctx); err != nil || string(body) != "bye" {
			t.Errorf("got %q, %v", body, err)
		}
		if code, _ := s.closeOf(conn); code != websocket.StatusNormalClosure {
			t.Errorf("closed with %d", code)
		}
	})
}

// A page of another site may not connect, unless its host is named; a client that is no browser may.
func TestSocketOrigin(t *testing.T) {
	onSocketStage(t, func(c *config.Config) { c.WebsocketOrigins = []string{"*.example.com"} }, func(t *testing.T, s *stage) {
		for origin, want := range map[string]int{
			"": 101, "http://relay.test": 101, "https://app.example.com": 101, "https://example.com": 403, "https://evil.test": 403, "null": 403,
		} {
			header := http.Header{}
			if origin != "" {
				header.Set("Origin", origin)
			}
			_, response, _ := s.dialSocket("/", header)
			if response == nil || response.StatusCode != want {
				t.Errorf("%q: got %v, want status %d", origin, response, want)
			}
		}
		if n := s.counter("holdfast.relay.errors", "WEBSOCKET_REFUSED"); n != 3 {
			t.Errorf("%d refusals are counted, want 3", n)
		}
	})
}

// An idle socket lives, as it is pinged; one whose client answers no ping is given up, and its place is free.
func TestSocketPings(t *testing.T) {
	onSocketStage(t, nil, func(t *testing.T, s *stage) {
		live, mute := s.socket("/", nil), s.socket("/", nil)
		synctest.Wait()
		came := make(chan string, 1)
		go func() { // a client answers pings while it reads
			_, body, err := live.Read(s.ctx)
			if err != nil {
				body = []byte(err.Error())
			}
			came <- string(body)
		}()
		time.Sleep(5 * time.Minute)
		if err := live.Write(s.ctx, websocket.MessageText, []byte("still there")); err != nil {
			t.Fatal(err)
		}
		if got := <-came; got != "still there" {
			t.Errorf("got %q", got)
		}
		list, err := s.admin.ListClientConnections(s.ctx, nil)
		if err != nil || list.GetTotal() != 1 {
			t.Errorf("%d connections are left, %v; want the one that answers", list.GetTotal(), err)
		}
		_ = mute.CloseNow()
	})
}

// The logical connection of a socket moves like any other: nothing is lost while its path is reloaded.
func TestSocketMoves(t *testing.T) {
	onSocketStage(t, nil, func(t *testing.T, s *stage) {
		conn := s.socket("/", http.Header{"X-Ingress-Id": {"c"}})
		for n := range 200 {
			text := strings.Repeat("x", n)
			if err := conn.Write(s.ctx, websocket.MessageText, []byte(text)); err != nil {
				t.Fatal(err)
			}
			if n%50 == 25 {
				s.moveAll()
			}
			if _, body, err := conn.Read(s.ctx); err != nil || string(body) != text {
				t.Fatalf("message %d came as %q, %v", n, body, err)
			}
		}
		if n := s.counter("holdfast.relay.moves", "moved"); n != 4 {
			t.Errorf("it was moved %d times", n)
		}
	})
}

// moveAll moves each connection once.
func (s *stage) moveAll() {
	s.t.Helper()
	list, err := s.admin.ListClientConnections(s.ctx, &holdfastv1.ListClientConnectionsRequest{})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, c := range list.GetClientConnections() {
		if _, err := s.admin.MoveConnection(s.ctx, &holdfastv1.MoveConnectionRequest{ConnectionId: c.GetConnectionId()}); err != nil {
			s.t.Error(err)
		}
	}
}
