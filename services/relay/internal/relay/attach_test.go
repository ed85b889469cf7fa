package relay

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/services/relay/internal/config"
)

func TestHandshakeRefuses(t *testing.T) {
	for _, c := range []struct {
		name    string
		request *holdfastv1.AttachRequest
		want    string
	}{
		{"nothing", &holdfastv1.AttachRequest{}, "HANDSHAKE_REQUIRED"},
		{"a ping", &holdfastv1.AttachRequest{Ping: &holdfastv1.PingMessage{}}, "HANDSHAKE_REQUIRED"},
		{
			"a handshake beside frames",
			&holdfastv1.AttachRequest{Handshake: goodHandshake(), Frames: []*holdfastv1.Frame{data(1, 1, 1, "x")}},
			"HANDSHAKE_REQUIRED",
		},
		{
			"a handshake beside a ping",
			&holdfastv1.AttachRequest{Handshake: goodHandshake(), Ping: &holdfastv1.PingMessage{}},
			"HANDSHAKE_REQUIRED",
		},
		{"no version", shake(func(h *holdfastv1.HandshakeRequestMessage) { h.ProtocolVersion = 0 }), "UNSUPPORTED_VERSION"},
		{"no instance_id", shake(func(h *holdfastv1.HandshakeRequestMessage) { h.InstanceId = "" }), "INVALID_FIELD"},
		{"no process_nonce", shake(func(h *holdfastv1.HandshakeRequestMessage) { h.ProcessNonce = 0 }), "INVALID_FIELD"},
		{"no application", shake(func(h *holdfastv1.HandshakeRequestMessage) { h.Application = "" }), "INVALID_FIELD"},
		{"too quick a heartbeat", shake(func(h *holdfastv1.HandshakeRequestMessage) {
			h.HeartbeatInterval = durationpb.New(9 * time.Millisecond)
		}), "INVALID_FIELD"},
		{"heartbeat of nothing", shake(func(h *holdfastv1.HandshakeRequestMessage) {
			h.HeartbeatInterval = durationpb.New(0)
		}), "INVALID_FIELD"},
	} {
		t.Run(c.name, func(t *testing.T) {
			onStage(t, nil, func(t *testing.T, s *stage) {
				p := s.peer(t, nil)
				p.send(c.request)
				if got := p.outcome(); got != c.want {
					t.Errorf("answered with %s, want %s", got, c.want)
				}
				if n := s.counter("holdfast.relay.errors", c.want); n != 1 {
					t.Errorf("it is counted %d times", n)
				}
			})
		})
	}
}

func shake(change func(*holdfastv1.HandshakeRequestMessage)) *holdfastv1.AttachRequest {
	return &holdfastv1.AttachRequest{Handshake: changed(change)}
}

// The answer has the smaller of both windows and the shorter of both intervals.
func TestHandshakeAgrees(t *testing.T) {
	change := func(c *config.Config) { c.WindowBytes, c.HeartbeatInterval = 1<<16, 10*time.Second }
	for _, c := range []struct {
		window, wantWindow       uint32
		heartbeat, wantHeartbeat time.Duration
	}{
		{0, 1 << 16, 0, 10 * time.Second},
		{1 << 10, 1 << 10, time.Second, time.Second},
		{1 << 20, 1 << 16, time.Minute, 10 * time.Second},
	} {
		t.Run(fmt.Sprint(c.window, c.heartbeat), func(t *testing.T) {
			onStage(t, change, func(t *testing.T, s *stage) {
				p := s.peer(t, changed(func(h *holdfastv1.HandshakeRequestMessage) {
					if h.WindowBytes = c.window; c.heartbeat > 0 {
						h.HeartbeatInterval = durationpb.New(c.heartbeat)
					}
				}))
				m, err := p.stream.Recv()
				if err != nil {
					t.Fatal(err)
				}
				h := m.GetHandshake()
				if h.GetWindowBytes() != c.wantWindow || h.GetHeartbeatInterval().AsDuration() != c.wantHeartbeat ||
					h.GetProtocolVersion() != 1 || h.GetRelayId() != "relay-1" || h.GetIngress() != "direct" ||
					h.GetServerConnectionId() != s.path("direct") || h.GetMaxMessageBytes() != 1<<20 {
					t.Errorf("agreed on %v", h)
				}
			})
		})
	}
}

func TestPingsAreAnswered(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		p := s.peer(t, goodHandshake())
		if _, err := p.stream.Recv(); err != nil {
			t.Fatal(err)
		}
		p.send(&holdfastv1.AttachRequest{Ping: &holdfastv1.PingMessage{Nonce: 77}})
		if m, err := p.stream.Recv(); err != nil || m.GetPing().GetNonce() != 77 || !m.GetPing().GetAnswer() {
			t.Errorf("got %v, %v", m, err)
		}
	})
}

// An app server that ends its stream in good order is not an error, and its path is gone at once.
func TestAppServerEndsItsStream(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		p := s.peer(t, goodHandshake())
		synctest.Wait()
		if err := p.stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		_, _ = p.stream.Recv() // the answer to the handshake
		if m, err := p.stream.Recv(); !errors.Is(err, io.EOF) {
			t.Errorf("got %v, %v; want the end of the stream", m, err)
		}
		if n := len(s.paths("direct")); n != 0 {
			t.Errorf("%d server connections are live", n)
		}
		if n := s.counter("holdfast.relay.errors", ""); n != 0 {
			t.Errorf("%d errors are counted", n)
		}
	})
}

// An ingress that is not trusted cannot name itself; that it tried is counted.
func TestHeaderOfAStrangerIsIgnored(t *testing.T) {
	change := func(c *config.Config) { c.TrustedNetworks = []string{"10.0.0.0/8"} }
	onStage(t, change, func(t *testing.T, s *stage) {
		s.server("app-1", echo, "a", "b")
		g := s.guest("a")
		if c := s.see(g); c.GetClientIngress() != "direct" || c.GetServerIngress() != "direct" {
			t.Errorf("listed: %v", c)
		}
		if n := s.counter("holdfast.relay.errors", "INGRESS_HEADER_IGNORED"); n != 3 {
			t.Errorf("%d ignored headers are counted, want those of two server connections and a client", n)
		}
	})
}

// New connections go to the least loaded path of the least loaded app server, and the load follows those that end.
func TestPlacementFollowsTheLoad(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		s.server("app-1", echo, "a", "b")
		var onFirst []*guest
		for range 4 {
			onFirst = append(onFirst, s.guest("z"))
		}
		s.server("app-2", echo, "c", "d")
		load := func() string {
			var all []any
			for _, ingress := range []string{"a", "b", "c", "d"} {
				all = append(all, s.ingress(ingress).GetLogicalConnections())
			}
			return fmt.Sprint(all...)
		}
		for range 4 {
			s.guest("z")
		}
		if got := load(); got != "2 2 2 2" {
			t.Errorf("loads are %s, want the second filled up evenly", got)
		}
		for _, g := range onFirst {
			g.stop()
		}
		time.Sleep(time.Second)
		if got := load(); got != "0 0 2 2" {
			t.Errorf("after the clients of the first left: loads are %s", got)
		}
		s.guest("z")
		s.guest("z")
		if got := load(); got != "1 1 2 2" {
			t.Errorf("loads are %s, want the idle paths taken", got)
		}
	})
}
