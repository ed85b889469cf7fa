package relay

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/metadata"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/appserver"
	"github.com/holdfast/holdfast/services/relay/internal/config"
)

// comer is a client that comes in with headers.
type comer struct {
	stream holdfastv1.ClientConnectionService_ConnectClient
	// refused is why it was not let in.
	refused string
}

// comer connects with headers, names and values in turn, and waits for the welcome.
func (s *stage) comer(headers ...string) *comer {
	s.t.Helper()
	cc := s.conn(s.application, "")
	s.t.Cleanup(func() { _ = cc.Close() })
	st, err := holdfastv1.NewClientConnectionServiceClient(cc).Connect(metadata.AppendToOutgoingContext(s.ctx, headers...))
	if err != nil {
		s.t.Fatal(err)
	}
	g := &comer{stream: st}
	_ = st.Send(hello("echo")) // Recv says what is wrong
	_, err = st.Recv()
	g.refused = reasonOf(err)
	return g
}

func reasonOf(err error) string {
	if err == nil {
		return ""
	}
	return reasonOrCode(err)
}

// exchange sends a message and returns why it did not come back.
func (g *comer) exchange() string {
	if err := g.stream.Send(text("x")); err != nil {
		return reasonOf(g.end())
	}
	_, err := g.stream.Recv()
	return reasonOf(err)
}

func (g *comer) end() error {
	for {
		if _, err := g.stream.Recv(); err != nil {
			return err
		}
	}
}

func limited(change func(*config.Config)) func(*config.Config) {
	return func(c *config.Config) {
		c.Applications = []string{"echo"}
		change(c)
	}
}

// At the limit the next one is refused, the others go on, and when one leaves there is room again.
func TestLimitOfConnections(t *testing.T) {
	onStage(t, limited(func(c *config.Config) { c.MaxConnections = 2 }), func(t *testing.T, s *stage) {
		s.server("app-1", echo, "a")
		first, second := s.comer(), s.comer()
		if got := s.comer().refused; got != "TOO_MANY_CONNECTIONS" {
			t.Errorf("the third is refused with %q", got)
		}
		if n := s.counter("holdfast.relay.errors", "TOO_MANY_CONNECTIONS"); n != 1 {
			t.Errorf("it is counted %d times", n)
		}
		if a, b := first.exchange(), second.exchange(); a != "" || b != "" {
			t.Errorf("the others do not go on: %q, %q", a, b)
		}
		_ = first.stream.CloseSend()
		_ = first.end()
		synctest.Wait()
		if got := s.comer().refused; got != "" {
			t.Errorf("after one has left: refused with %q", got)
		}
	})
}

// The address is the one that a trusted ingress forwards; where it forwards none, nobody is held to account for another.
func TestLimitOfAnAddress(t *testing.T) {
	onStage(t, limited(func(c *config.Config) { c.MaxConnectionsPerAddress = 1 }), func(t *testing.T, s *stage) {
		s.server("app-1", echo, "a")
		through := []string{"x-ingress-id", "a"}
		from := func(address string) []string { return append(through, "x-forwarded-for", address) }
		for i, c := range []struct {
			headers []string
			want    string
		}{
			{nil, ""},
			{nil, "TOO_MANY_CONNECTIONS"},
			{from("192.0.2.1"), ""},
			{from("198.51.100.9, 192.0.2.1"), "TOO_MANY_CONNECTIONS"}, // what stands before the last anybody can have written
			{from("192.0.2.2:4711"), ""},
			{from("[2001:db8::1]:4711"), ""},
			{from("2001:db8::1"), "TOO_MANY_CONNECTIONS"},
			{through, ""},
			{through, ""},
			{from("unknown"), ""},
		} {
			if got := s.comer(c.headers...).refused; got != c.want {
				t.Errorf("guest %d, %v: %q, want %q", i, c.headers, got, c.want)
			}
		}
		if n := s.counter("holdfast.relay.errors", "FORWARDED_HEADER_IGNORED"); n != 1 {
			t.Errorf("an unusable address is counted %d times", n)
		}
		list, err := s.admin.ListClientConnections(s.ctx, &holdfastv1.ListClientConnectionsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		var addresses []string
		for _, c := range list.GetClientConnections() {
			addresses = append(addresses, c.GetClientAddress())
		}
		if got := strings.Join(addresses, " "); !strings.Contains(got, "192.0.2.1") || !strings.Contains(got, "192.0.2.2:4711") {
			t.Errorf("operators see %s", got)
		}
	})
}

func TestLimitOfTheRate(t *testing.T) {
	onStage(t, limited(func(c *config.Config) { c.ConnectionRate = 5 }), func(t *testing.T, s *stage) {
		s.server("app-1", echo, "a")
		in := 0
		for range 12 {
			switch got := s.comer().refused; got {
			case "":
				in++
			case "CONNECTION_RATE":
			default:
				t.Errorf("refused with %q", got)
			}
		}
		if in != 5 {
			t.Errorf("%d of 12 at once were let in, want 5", in)
		}
		time.Sleep(time.Second)
		if got := s.comer().refused; got != "" {
			t.Errorf("a second later: refused with %q", got)
		}
	})
}

// One that says nothing either way is closed; one with a message now and then is not.
func TestIdle(t *testing.T) {
	onStage(t, limited(func(c *config.Config) { c.IdleTimeout = 10 * time.Second }), func(t *testing.T, s *stage) {
		s.server("app-1", echo, "a")
		quiet, busy := s.comer(), s.comer()
		for range 4 {
			time.Sleep(6 * time.Second)
			if got := busy.exchange(); got != "" {
				t.Fatalf("the busy one was closed: %q", got)
			}
		}
		if got := reasonOf(quiet.end()); got != "IDLE" {
			t.Errorf("the quiet one ended with %q", got)
		}
	})
}

// A stream of either kind that says nothing is ended, and nothing of it is left.
func TestSilentAtTheBeginning(t *testing.T) {
	onStage(t, limited(func(c *config.Config) { c.HandshakeTimeout = time.Second }), func(t *testing.T, s *stage) {
		s.server("app-1", echo, "a")
		cc := s.conn(s.application, "")
		defer cc.Close()
		client, err := holdfastv1.NewClientConnectionServiceClient(cc).Connect(s.ctx)
		if err != nil {
			t.Fatal(err)
		}
		server, err := holdfastv1.NewServerConnectionServiceClient(cc).Attach(s.ctx)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err = client.Recv()
		_, serverErr := server.Recv()
		if a, b := reasonOf(err), reasonOf(serverErr); a != "HANDSHAKE_TIMEOUT" || b != a {
			t.Errorf("ended with %q and %q", a, b)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("after %v", took)
		}
	})
}

// While much is held for connections whose application reads nothing, nobody new is let in; those that are in go on.
func TestOverload(t *testing.T) {
	onStage(t, limited(func(c *config.Config) { c.MaxRetainedBytes = 1 << 20 }), func(t *testing.T, s *stage) {
		release := make(chan struct{})
		lazy := appserver.HandlerFunc(func(ctx context.Context, c *appserver.Connection) error {
			m, err := c.Receive(ctx)
			if err != nil || string(m.Payload) != "lazy" {
				_ = c.Send(ctx, m)
				return echo(ctx, c)
			}
			<-release
			return nil
		})
		s.server("app-1", lazy, "a")
		good := s.comer()
		if got := good.exchange(); got != "" {
			t.Fatalf("refused with %q", got)
		}
		for range 6 {
			g := s.comer()
			for _, m := range []string{"lazy", strings.Repeat("x", 200<<10)} {
				if err := g.stream.Send(text(m)); err != nil {
					t.Fatal(err)
				}
			}
		}
		time.Sleep(2 * time.Second)
		if got := s.comer().refused; got != "OVERLOADED" {
			t.Errorf("refused with %q", got)
		}
		if got := good.exchange(); got != "" {
			t.Errorf("one that is in ended with %q", got)
		}
		close(release)
		time.Sleep(2 * time.Second)
		if got := s.comer().refused; got != "" {
			t.Errorf("when it is over: refused with %q", got)
		}
	})
}
