package relay

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/appserver"
	"github.com/holdfast/holdfast/pkg/observe"
	"github.com/holdfast/holdfast/pkg/wire/wiretest"
	"github.com/holdfast/holdfast/services/relay/internal/config"
)

// loopback gives in-memory connections the address of a trusted ingress.
type loopback struct{ net.Listener }

func (l loopback) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return loopbackConn{c}, nil
}

type loopbackConn struct{ net.Conn }

func (loopbackConn) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:1"))
}

// listener is a listener and the way to dial it.
type listener struct {
	net.Listener
	dial func(context.Context) (net.Conn, error)
}

// inMemory returns two listeners that work inside a synctest bubble.
func inMemory() (application, operators listener) {
	application, operators, _ = threeInMemory()
	return application, operators
}

// threeInMemory returns one more, for clients over WebSocket.
func threeInMemory() (application, operators, sockets listener) {
	network := wiretest.NewNetwork()
	listen := func() listener {
		l := network.Listen(256 << 10)
		return listener{loopback{l}, l.DialContext}
	}
	return listen(), listen(), listen()
}

// onLoopback returns a real one.
func onLoopback(t testing.TB) listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener{l, func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr().String())
	}}
}

// harness is a relay with its listeners.
type harness struct {
	t           testing.TB
	relay       *Relay
	application listener
	operators   listener
	// sockets is for clients over WebSocket.
	sockets listener
	reader  *metric.ManualReader
	// changeServer changes the app servers that are started; nil for none.
	changeServer func(*appserver.Config)
	stop         func()
	wg           sync.WaitGroup
}

// newHarness starts a relay on in-memory listeners.
func newHarness(t testing.TB, change func(*config.Config), logs ...io.Writer) *harness {
	t.Helper()
	application, operators, sockets := threeInMemory()
	return startHarnessWith(t, application, operators, sockets, change, nil, logs...)
}

func startHarness(t testing.TB, application, operators listener, change func(*config.Config), logs ...io.Writer) *harness {
	t.Helper()
	return startHarnessWith(t, application, operators, listener{}, change, nil, logs...)
}

// startHarnessWith serves clients over WebSocket too, when there is a listener for them, and lets the telemetry be changed.
func startHarnessWith(t testing.TB, application, operators, sockets listener, change func(*config.Config), report func(*observe.Telemetry),
	logs ...io.Writer,
) *harness {
	t.Helper()
	cfg := &config.Config{
		Listen: "in-memory:1", AdminListen: "in-memory:2", RelayID: "relay-1", TrustedNetworks: []string{"127.0.0.0/8"},
		WindowBytes: 256 << 10, MaxMessageBytes: 1 << 20, HeartbeatInterval: 15 * time.Second, MaxMovesInFlight: 256,
		MigrationTimeout: 5 * time.Second, ParkTime: 30 * time.Second, SlowClientTimeout: 30 * time.Second,
		ReloadDeadline: 10 * time.Minute, ShutdownGrace: time.Second,
		Security: config.Security{TLSRefresh: time.Second, Insecure: true},
		Limits:   config.Limits{HandshakeTimeout: 10 * time.Second},
		Resume:   config.Resume{ResumeTime: 30 * time.Second, ResumeTokenTime: 5 * time.Minute, ReconnectWindow: 10 * time.Second},
	}
	if change != nil {
		change(cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	reader := metric.NewManualReader()
	log := slog.New(slog.NewTextHandler(io.MultiWriter(logs...), &slog.HandlerOptions{Level: cfg.Level()})) // with no logs it writes nowhere
	telemetry := &observe.Telemetry{Meters: metric.NewMeterProvider(metric.WithReader(reader)), Traces: noop.NewTracerProvider()}
	if report != nil {
		report(telemetry)
	}
	r, err := New(cfg, log, telemetry)
	if err != nil {
		t.Fatal(err)
	}
	h := &harness{t: t, relay: r, application: application, operators: operators, sockets: sockets, reader: reader}
	ctx, cancel := context.WithCancel(context.Background())
	h.wg.Go(func() {
		if err := r.Serve(ctx, application, operators, sockets.Listener); err != nil {
			t.Errorf("serving: %v", err)
		}
	})
	h.stop = func() {
		cancel()
		h.wg.Wait()
	}
	return h
}

// withApplications sets the applications that the relay serves.
func withApplications(names ...string) func(*config.Config) {
	return func(c *config.Config) { c.Applications = names }
}

func discard() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// dial returns options that lead to the listener through an ingress of that name; none when it is empty.
func dial(l listener, ingress string) []grpc.DialOption {
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.dial(ctx) }),
	}
	if ingress != "" {
		options = append(options, grpc.WithStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn,
			method string, streamer grpc.Streamer, opts ...grpc.CallOption,
		) (grpc.ClientStream, error) {
			return streamer(metadata.AppendToOutgoingContext(ctx, "x-ingress-id", ingress), desc, cc, method, opts...)
		}))
	}
	return options
}

func (h *harness) conn(l listener, ingress string) *grpc.ClientConn {
	h.t.Helper()
	cc, err := grpc.NewClient("passthrough:///relay", dial(l, ingress)...)
	if err != nil {
		h.t.Fatal(err)
	}
	return cc
}

func (h *harness) admin() (holdfastv1.AdminServiceClient, *grpc.ClientConn) {
	cc := h.conn(h.operators, "")
	return holdfastv1.NewAdminServiceClient(cc), cc
}

// appServer runs an app server with one server connection through each of the ingresses, until the returned function
// is called.
func (h *harness) appServer(id string, handler appserver.Handler, ingresses []string, options ...grpc.DialOption) (*appserver.Server, func()) {
	h.t.Helper()
	byAddress := make(map[string]string)
	cfg := appserver.Config{
		ServerID: id, Application: "echo", Handler: handler, Logger: discard(), ShutdownGrace: -1,
	}
	for i, ingress := range ingresses {
		address := fmt.Sprintf("passthrough:///%s-%d", ingress, i)
		byAddress[address] = ingress
		cfg.Relays = append(cfg.Relays, address)
	}
	cfg.DialOptions = append(dial(h.application, ""), grpc.WithStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc,
		cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption,
	) (grpc.ClientStream, error) {
		ctx = metadata.AppendToOutgoingContext(ctx, "x-ingress-id", byAddress[cc.Target()])
		return streamer(ctx, desc, cc, method, opts...)
	}))
	cfg.DialOptions = append(cfg.DialOptions, options...)
	if h.changeServer != nil {
		h.changeServer(&cfg)
	}
	server, err := appserver.New(cfg)
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := server.Run(ctx); err != nil {
			h.t.Errorf("app server %s: %v", id, err)
		}
	})
	return server, func() {
		cancel()
		wg.Wait()
	}
}

// counter returns the sum of a counter over all its attributes, or over those with the value.
func (h *harness) counter(name, value string) int64 {
	h.t.Helper()
	var rm metricdata.ResourceMetrics
	if err := h.reader.Collect(context.Background(), &rm); err != nil {
		h.t.Fatal(err)
	}
	var sum int64
	for _, scope := range rm.ScopeMetrics {
		for _, m := range scope.Metrics {
			data, ok := m.Data.(metricdata.Sum[int64])
			if !ok || m.Name != name {
				continue
			}
			for _, point := range data.DataPoints {
				match := value == ""
				for _, kv := range point.Attributes.ToSlice() {
					match = match || kv.Value.AsString() == value
				}
				if match {
					sum += point.Value
				}
			}
		}
	}
	return sum
}

// echo sends every message back.
var echo = appserver.HandlerFunc(func(ctx context.Context, c *appserver.Connection) error {
	for {
		m, err := c.Receive(ctx)
		if err != nil {
			return ignoreEnd(err)
		}
		if err := c.Send(ctx, m); err != nil {
			return ignoreEnd(err)
		}
	}
})

func ignoreEnd(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}
