package relay

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/appserver"
	"github.com/holdfast/holdfast/pkg/wire/wiretest"
	"github.com/holdfast/holdfast/services/relay/internal/config"
)

// pair is two relays that share their resume keys, and an app server that is attached to both through the ingresses a and b, in a
// synctest bubble.
type pair struct {
	t      *testing.T
	ctx    context.Context
	relays [2]*harness
}

// onPair runs the test on a pair. With no handler the test starts its app server by itself.
func onPair(t *testing.T, change func(*config.Config), handler appserver.Handler, run func(t *testing.T, p *pair)) {
	t.Helper()
	keys := filepath.Join(t.TempDir(), "resume.keys")
	if err := os.WriteFile(keys, []byte(base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		p := &pair{t: t, ctx: ctx}
		network := wiretest.NewNetwork()
		listen := func() listener {
			l := network.Listen(256 << 10)
			return listener{loopback{l}, l.DialContext}
		}
		for i := range p.relays {
			p.relays[i] = startHarnessWith(t, listen(), listen(), listen(), func(c *config.Config) {
				c.RelayID, c.ResumeKeyFile = fmt.Sprintf("relay-%d", i+1), keys
				if change != nil {
					change(c)
				}
			}, nil)
			t.Cleanup(p.relays[i].stop)
		}
		t.Cleanup(cancel)
		if handler != nil {
			p.appServer(handler)
		}
		run(t, p)
	})
}

// appServer runs one with two server connections to each relay, and waits until they are attached.
func (p *pair) appServer(handler appserver.Handler) {
	cfg := appserver.Config{ServerID: "app-1", Application: "echo", Handler: handler, Logger: discard(), ShutdownGrace: -1}
	for i := range p.relays {
		for _, ingress := range []string{"a", "b"} {
			cfg.Relays = append(cfg.Relays, fmt.Sprintf("passthrough:///%d%s", i, ingress))
		}
	}
	cfg.DialOptions = append(dial(p.relays[0].application, ""),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return p.relays[address[0]-'0'].application.dial(ctx)
		}),
		grpc.WithStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string,
			streamer grpc.Streamer, opts ...grpc.CallOption,
		) (grpc.ClientStream, error) {
			target := cc.Target()
			return streamer(metadata.AppendToOutgoingContext(ctx, "x-ingress-id", target[len(target)-1:]), desc, cc, method, opts...)
		}))
	server, err := appserver.New(cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := server.Run(ctx); err != nil {
			p.t.Errorf("app server: %v", err)
		}
	})
	p.t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	synctest.Wait()
}

// kill ends a relay as a crash does: nobody is told anything.
func (p *pair) kill(relay int) { p.relays[relay].relay.application.Stop() }

// caller is the stream of a resumable client, of which the test plays every part.
type caller struct {
	t       *testing.T
	stream  holdfastv1.ClientConnectionService_ConnectClient
	welcome *holdfastv1.Welcome
	// token is the last one that came.
	token string
	// leave breaks the stream.
	leave func()
}

// call says hello to a relay through an ingress. Its error is how the relay ended the stream.
func (p *pair) call(relay int, ingress string, hello *holdfastv1.Hello) (*caller, error) {
	p.t.Helper()
	cc := p.relays[relay].conn(p.relays[relay].application, ingress)
	p.t.Cleanup(func() { _ = cc.Close() })
	ctx, cancel := context.WithCancel(p.ctx)
	stream, err := holdfastv1.NewClientConnectionServiceClient(cc).Connect(ctx)
	if err != nil {
		p.t.Fatal(err)
	}
	c := &caller{t: p.t, stream: stream, leave: cancel}
	if err := stream.Send(&holdfastv1.ConnectRequest{Hello: hello}); err != nil && err != io.EOF {
		p.t.Fatal(err)
	}
	m, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	if c.welcome = m.GetWelcome(); c.welcome == nil {
		p.t.Fatalf("%v came before the welcome", m)
	}
	c.token = c.welcome.GetResumeToken()
	return c, nil
}

// connect opens a connection.
func (p *pair) connect(relay int, ingress string) *caller {
	p.t.Helper()
	c, err := p.call(relay, ingress, &holdfastv1.Hello{Resumable: true})
	if err != nil {
		p.t.Fatal(err)
	}
	c.send(&holdfastv1.ConnectRequest{Welcomed: true})
	return c
}

// resume takes a connection up again.
func (p *pair) resume(relay int, ingress, token string, received, consumed uint64) (*caller, error) {
	p.t.Helper()
	return p.call(relay, ingress, &holdfastv1.Hello{
		Resume: &holdfastv1.ResumeRequest{Token: token, ReceivedSeq: received, ConsumedSeq: consumed},
	})
}

// mustResume is resume that is granted, and taken.
func (p *pair) mustResume(relay int, ingress, token string, received, consumed uint64) *caller {
	p.t.Helper()
	c, err := p.resume(relay, ingress, token, received, consumed)
	if err != nil {
		p.t.Fatal(err)
	}
	c.send(&holdfastv1.ConnectRequest{Welcomed: true})
	return c
}

func (c *caller) send(m *holdfastv1.ConnectRequest) {
	c.t.Helper()
	if err := c.stream.Send(m); err != nil && err != io.EOF {
		c.t.Fatal(err)
	}
}

// say sends text messages, numbered from first on.
func (c *caller) say(first uint64, texts ...string) {
	c.t.Helper()
	m := &holdfastv1.ConnectRequest{FirstSeq: first}
	for _, s := range texts {
		m.Messages = append(m.Messages, item(s))
	}
	c.send(m)
}

func (c *caller) acknowledge(seq uint64) { c.send(&holdfastv1.ConnectRequest{ConsumedSeq: seq}) }

// heard is what has come to a caller.
type heard struct {
	texts     []string
	first     uint64
	consumed  uint64
	reconnect *holdfastv1.Reconnect
	closing   *holdfastv1.ClientClose
	err       error
}

// hear reads until so many messages have come, or the stream has ended.
func (c *caller) hear(n int) (h heard) {
	for len(h.texts) < n || n == 0 {
		m, err := c.stream.Recv()
		if h.err = err; err != nil {
			return h
		}
		h.take(m)
		if m.GetResumeToken() != "" {
			c.token = m.GetResumeToken()
		}
		if n == 0 && (m.GetReconnect() != nil || m.GetConsumedSeq() > 0 || m.GetResumeToken() != "") {
			return h
		}
	}
	return h
}

func (h *heard) take(m *holdfastv1.ConnectResponse) {
	if h.first == 0 {
		h.first = m.GetFirstSeq()
	}
	h.consumed = max(h.consumed, m.GetConsumedSeq())
	if m.GetReconnect() != nil {
		h.reconnect = m.GetReconnect()
	}
	if m.GetContent() != nil {
		h.texts = append(h.texts, m.GetText()+string(m.GetBinary()))
	}
	for _, item := range m.GetMessages() {
		if item.GetClose() != nil {
			h.closing = item.GetClose()
		}
		h.texts = append(h.texts, item.GetText()+string(item.GetBinary()))
	}
}

// end reads to the end and returns how it ended.
func (c *caller) end() error {
	for {
		if _, err := c.stream.Recv(); err != nil {
			return err
		}
	}
}
