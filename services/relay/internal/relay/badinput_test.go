package relay

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// changed returns the good handshake with one thing changed.
func changed(change func(*holdfastv1.HandshakeRequestMessage)) *holdfastv1.HandshakeRequestMessage {
	h := goodHandshake()
	change(h)
	return h
}

// withConnection attaches a peer, places a connection on it and has the peer send what frames returns.
func withConnection(frames func(open *holdfastv1.Frame) []*holdfastv1.Frame) func(*testing.T, *harness) string {
	return withPeer(func(p *peer, open *holdfastv1.Frame) { p.frames(frames(open)...) })
}

// withPeer attaches a peer, places a connection on it and has the peer behave badly.
func withPeer(behave func(p *peer, open *holdfastv1.Frame)) func(*testing.T, *harness) string {
	return func(t *testing.T, h *harness) string {
		p := h.peer(t, goodHandshake())
		if _, err := p.stream.Recv(); err != nil {
			t.Fatal(err)
		}
		cc := h.conn(h.application, "")
		t.Cleanup(func() { _ = cc.Close() })
		client, err := holdfastv1.NewClientConnectionServiceClient(cc).Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := client.Send(hello("other")); err != nil {
			t.Fatal(err)
		}
		behave(p, p.open())
		return p.outcome()
	}
}

// handshakeOnly attaches with the handshake and returns the outcome.
func handshakeOnly(handshake *holdfastv1.HandshakeRequestMessage) func(*testing.T, *harness) string {
	return func(t *testing.T, h *harness) string { return h.peer(t, handshake).outcome() }
}

// then attaches, sends the request and returns the outcome.
func then(m *holdfastv1.AttachRequest) func(*testing.T, *harness) string {
	return func(t *testing.T, h *harness) string {
		p := h.peer(t, goodHandshake())
		p.send(m)
		return p.outcome()
	}
}

// asClient connects as a client, sends the requests and returns the outcome.
func asClient(requests ...*holdfastv1.ConnectRequest) func(*testing.T, *harness) string {
	return func(t *testing.T, h *harness) string {
		cc := h.conn(h.application, "")
		t.Cleanup(func() { _ = cc.Close() })
		client, err := holdfastv1.NewClientConnectionServiceClient(cc).Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range requests {
			if err := client.Send(m); err != nil {
				break // the stream is over; Recv says why
			}
		}
		for {
			if _, err := client.Recv(); err != nil {
				return reasonOrCode(err)
			}
		}
	}
}

func hello(application string) *holdfastv1.ConnectRequest {
	return &holdfastv1.ConnectRequest{Hello: &holdfastv1.Hello{Application: application}}
}

func text(s string) *holdfastv1.ConnectRequest {
	return &holdfastv1.ConnectRequest{Content: &holdfastv1.ConnectRequest_Text{Text: s}}
}

var badInputs = []struct {
	name string
	run  func(*testing.T, *harness) string
	want string
	// counter and value are where it is counted.
	counter, value string
	// logged is what the one log line about it has.
	logged string
}{
	{
		"data before the handshake", func(t *testing.T, h *harness) string {
			p := h.peer(t, nil)
			p.frames(data(1, 1, 1, "x"))
			return p.outcome()
		}, "HANDSHAKE_REQUIRED", "errors", "HANDSHAKE_REQUIRED", "server connection refused",
	},
	{
		"second handshake", then(&holdfastv1.AttachRequest{Handshake: goodHandshake()}),
		"HANDSHAKE_REPEATED", "errors", "HANDSHAKE_REPEATED", "broke the protocol",
	},
	{
		"frame with no body", then(&holdfastv1.AttachRequest{Frames: []*holdfastv1.Frame{{ConnectionId: 1, Epoch: 1}}}),
		"MALFORMED_FRAME", "errors", "MALFORMED_FRAME", "broke the protocol",
	},
	{
		"frame with no connection", then(&holdfastv1.AttachRequest{Frames: []*holdfastv1.Frame{data(0, 1, 1, "x")}}),
		"MALFORMED_FRAME", "errors", "MALFORMED_FRAME", "broke the protocol",
	},
	{
		"unknown connection", then(&holdfastv1.AttachRequest{Frames: []*holdfastv1.Frame{data(99, 1, 1, "x")}}),
		"close UNKNOWN_CONNECTION", "frames.dropped", "UnknownConnection", "unknown connection",
	},
	{
		"epoch of the past", withConnection(func(o *holdfastv1.Frame) []*holdfastv1.Frame {
			return []*holdfastv1.Frame{data(o.GetConnectionId(), o.GetEpoch()-1, 1, "x"), data(o.GetConnectionId(), o.GetEpoch()-1, 2, "x")}
		}), "reject STALE_EPOCH", "frames.dropped", "StaleEpoch", "dropped a frame",
	},
	{
		"epoch of the future", withConnection(func(o *holdfastv1.Frame) []*holdfastv1.Frame {
			return []*holdfastv1.Frame{data(o.GetConnectionId(), o.GetEpoch()+1, 1, "x")}
		}), "close PROTOCOL_ERROR", "errors", "RULE_Epoch", "broke the protocol",
	},
	{
		"sequence gap that repeats after the resume", withPeer(func(p *peer, o *holdfastv1.Frame) {
			p.frames(data(o.GetConnectionId(), o.GetEpoch(), 1, "x"), data(o.GetConnectionId(), o.GetEpoch(), 3, "x"))
			again := p.resume()
			p.frames(withAck(again, 0), data(again.GetConnectionId(), again.GetEpoch(), 3, "x"))
		}), "close PROTOCOL_ERROR", "errors", "RULE_Gap", "connection closed",
	},
	{
		"resume answered from the future", withPeer(func(p *peer, o *holdfastv1.Frame) {
			p.frames(data(o.GetConnectionId(), o.GetEpoch(), 1, "x"), data(o.GetConnectionId(), o.GetEpoch(), 3, "x"))
			p.frames(withAck(p.resume(), 9))
		}), "close PROTOCOL_ERROR", "errors", "RULE_Rewind", "connection closed",
	},
	{"resume answered by the wrong path", answerByTheWrongPath, "close PROTOCOL_ERROR", "errors", "RULE_Order", "connection closed"},
	{
		"barrier that repeats", withConnection(func(o *holdfastv1.Frame) []*holdfastv1.Frame {
			return slices.Repeat([]*holdfastv1.Frame{withAck(o, 0)}, 1000)
		}), "close PROTOCOL_ERROR", "errors", "RULE_Order", "broke the protocol",
	},
	{
		"receipt for what was never sent", withConnection(func(o *holdfastv1.Frame) []*holdfastv1.Frame {
			return []*holdfastv1.Frame{{ConnectionId: o.GetConnectionId(), Epoch: o.GetEpoch(), Body: &holdfastv1.Frame_Receipt{
				Receipt: &holdfastv1.ReceiptMessage{ConsumedSeq: 5},
			}}}
		}), "close PROTOCOL_ERROR", "errors", "RULE_Receipt", "broke the protocol",
	},
	{
		"barrier with no handoff", withConnection(func(o *holdfastv1.Frame) []*holdfastv1.Frame {
			return []*holdfastv1.Frame{{ConnectionId: o.GetConnectionId(), Epoch: o.GetEpoch(), Body: &holdfastv1.Frame_MigrateWithAck{
				MigrateWithAck: &holdfastv1.MigrateConnectionWithAckMessage{},
			}}}
		}), "close PROTOCOL_ERROR", "errors", "RULE_Order", "broke the protocol",
	},
	{
		"text that is not UTF-8", withConnection(func(o *holdfastv1.Frame) []*holdfastv1.Frame {
			return []*holdfastv1.Frame{data(o.GetConnectionId(), o.GetEpoch(), 1, "\xff")}
		}), "close PROTOCOL_ERROR", "errors", "PROTOCOL_ERROR", "broke the protocol",
	},
	{
		"oversized message of an app server", withConnection(func(o *holdfastv1.Frame) []*holdfastv1.Frame {
			return []*holdfastv1.Frame{data(o.GetConnectionId(), o.GetEpoch(), 1, strings.Repeat("x", 1<<20+1))}
		}), "close MESSAGE_TOO_LARGE", "errors", "MESSAGE_TOO_LARGE", "broke the protocol",
	},
	{
		"oversized gRPC message of an app server", withConnection(func(o *holdfastv1.Frame) []*holdfastv1.Frame {
			return []*holdfastv1.Frame{data(o.GetConnectionId(), o.GetEpoch(), 1, strings.Repeat("x", 3<<20))}
		}), "ResourceExhausted", "errors", "MESSAGE_TOO_LARGE", "broke the protocol",
	},
	{
		"unknown protocol version", handshakeOnly(changed(func(h *holdfastv1.HandshakeRequestMessage) { h.ProtocolVersion = 9 })),
		"UNSUPPORTED_VERSION", "errors", "UNSUPPORTED_VERSION", "server connection refused",
	},
	{
		"unknown capability", handshakeOnly(changed(func(h *holdfastv1.HandshakeRequestMessage) { h.Capabilities = []string{"teleport"} })),
		"UNSUPPORTED_CAPABILITY", "errors", "UNSUPPORTED_CAPABILITY", "server connection refused",
	},
	{
		"empty server_id", handshakeOnly(changed(func(h *holdfastv1.HandshakeRequestMessage) { h.ServerId = "" })),
		"INVALID_FIELD", "errors", "INVALID_FIELD", "server connection refused",
	},
	{
		"app server of an unknown application", handshakeOnly(changed(func(h *holdfastv1.HandshakeRequestMessage) { h.Application = "nope" })),
		"UNKNOWN_APPLICATION", "errors", "UNKNOWN_APPLICATION", "server connection refused",
	},
	{
		"two processes with one instance_id", func(t *testing.T, h *harness) string {
			h.peer(t, goodHandshake())
			synctest.Wait()
			return h.peer(t, changed(func(h *holdfastv1.HandshakeRequestMessage) { h.ProcessNonce = 8 })).outcome()
		}, "INSTANCE_CONFLICT", "errors", "INSTANCE_CONFLICT", "server connection refused",
	},
	{
		"client of an unknown application", asClient(hello("nope")),
		"UNKNOWN_APPLICATION", "errors", "UNKNOWN_APPLICATION", "client stream refused",
	},
	{
		"client with a second hello", asClient(hello("echo"), text("x"), &holdfastv1.ConnectRequest{Hello: &holdfastv1.Hello{}}),
		"UNEXPECTED_MESSAGE", "errors", "UNEXPECTED_MESSAGE", "client stream refused",
	},
	{
		"client with an empty request", asClient(hello("echo"), text("x"), &holdfastv1.ConnectRequest{}),
		"UNEXPECTED_MESSAGE", "errors", "UNEXPECTED_MESSAGE", "client stream refused",
	},
	{
		"oversized message of a client", asClient(hello("echo"), text(strings.Repeat("x", 1<<20+1))),
		"MESSAGE_TOO_LARGE", "errors", "MESSAGE_TOO_LARGE", "client stream refused",
	},
	{
		"oversized gRPC message of a client", asClient(hello("echo"), text("x"), text(strings.Repeat("x", 3<<20))),
		"ResourceExhausted", "errors", "MESSAGE_TOO_LARGE", "client stream refused",
	},
}

// Each bad input gets its typed error, is counted and logged once, and disturbs nobody else.
func TestBadInput(t *testing.T) {
	for _, c := range badInputs {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := &lockedBuffer{}
				h := newHarness(t, withApplications("echo", "other"), log)
				defer h.stop()
				_, stopServer := h.appServer("app-1", echo, []string{"a", "b"})
				defer stopServer()
				synctest.Wait()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				good, closeGood := h.goodClient(ctx)
				defer closeGood()
				if err := good.exchange(3, 0); err != nil {
					t.Fatal(err)
				}

				if got := c.run(t, h); got != c.want {
					t.Errorf("it was answered with %q, want %q", got, c.want)
				}
				time.Sleep(time.Second)
				if n := h.counter("holdfast.relay."+c.counter, c.value); n < 1 {
					t.Errorf("%s{%s} counts %d, want at least 1", c.counter, c.value, n)
				}
				if n := log.count("level=WARN", c.logged); n != 1 {
					t.Errorf("%d log lines with %q, want 1:\n%s", n, c.logged, log)
				}
				if err := good.exchange(3, 0); err != nil {
					t.Errorf("a connection beside it was disturbed: %v", err)
				}
			})
		})
	}
}

func (h *harness) goodClient(ctx context.Context) (*client, func()) {
	c, closeClient := h.client(ctx, "c")
	if err := c.stream.Send(&holdfastv1.ConnectRequest{Hello: &holdfastv1.Hello{Application: "echo"}}); err != nil {
		h.t.Fatal(err)
	}
	if m, err := c.stream.Recv(); err != nil || m.GetWelcome() == nil {
		h.t.Fatalf("no welcome: %v, %v", m, err)
	}
	return c, closeClient
}

// lockedBuffer keeps log lines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// count returns how many lines have all the parts.
func (l *lockedBuffer) count(parts ...string) int {
	n := 0
	for line := range strings.Lines(l.String()) {
		all := true
		for _, p := range parts {
			all = all && strings.Contains(line, p)
		}
		if all {
			n++
		}
	}
	return n
}
