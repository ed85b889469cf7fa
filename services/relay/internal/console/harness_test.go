package console_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/metric/noop"
	notrace "go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/appserver"
	"github.com/holdfast/holdfast/pkg/observe"
	"github.com/holdfast/holdfast/pkg/wire/wiretest"
	"github.com/holdfast/holdfast/services/relay/internal/config"
	"github.com/holdfast/holdfast/services/relay/internal/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stage is a whole relay with its console, in a synctest bubble. All that it starts ends with the test.
type stage struct {
	t         *testing.T
	network   *wiretest.Network
	clients   *wiretest.Listener // of the relay, for clients and app servers
	operators *wiretest.Listener
	browser   *http.Client
	stop      func()
}

// loopback gives connections in memory addresses: the peer's is trusted, and local is the one that they came in through.
type loopback struct {
	net.Listener
	local string
}

func (l loopback) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return loopbackConn{c, l.local}, err
}

type loopbackConn struct {
	net.Conn
	local string
}

func (loopbackConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (c loopbackConn) LocalAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(c.local), Port: 7401} }

func onStage(t *testing.T, change func(*config.Config), run func(t *testing.T, s *stage)) {
	t.Helper()
	onStageAt(t, "127.0.0.1", change, run)
}

// onStageAt has the admin listener at the address.
func onStageAt(t *testing.T, local string, change func(*config.Config), run func(t *testing.T, s *stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &stage{t: t, network: wiretest.NewNetwork()}
		s.clients, s.operators = s.network.Listen(256<<10), s.network.Listen(4<<10)
		cfg := &config.Config{
			Listen: "in-memory:1", AdminListen: "in-memory:2", RelayID: "relay-1", TrustedNetworks: []string{"127.0.0.0/8"},
			WindowBytes: 256 << 10, MaxMessageBytes: 1 << 20, HeartbeatInterval: 15 * time.Second, MaxMovesInFlight: 256,
			MigrationTimeout: 5 * time.Second, ParkTime: 30 * time.Second, SlowClientTimeout: 30 * time.Second,
			ReloadDeadline: 10 * time.Minute, ShutdownGrace: time.Second,
			Security: config.Security{TLSRefresh: time.Second, Insecure: true}, Limits: config.Limits{HandshakeTimeout: 10 * time.Second},
			Resume: config.Resume{ResumeTime: 30 * time.Second, ResumeTokenTime: 5 * time.Minute, ReconnectWindow: 10 * time.Second},
		}
		if change != nil {
			change(cfg)
		}
		if err := cfg.Validate(); err != nil {
			t.Fatal(err)
		}
		r, err := relay.New(cfg, slog.New(slog.DiscardHandler), &observe.Telemetry{
			Meters: noop.NewMeterProvider(), Traces: notrace.NewTracerProvider(),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		var serving sync.WaitGroup
		serving.Go(func() {
			if err := r.Serve(ctx, loopback{s.clients, local}, loopback{s.operators, local}, nil); err != nil {
				t.Errorf("serving: %v", err)
			}
		})
		s.stop = func() {
			cancel()
			serving.Wait()
		}
		t.Cleanup(func() { time.Sleep(time.Second) }) // net/http lingers on a connection that it closed, for half of that
		t.Cleanup(s.stop)
		transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return s.operators.DialContext(ctx)
		}}
		s.browser = &http.Client{Transport: transport}
		t.Cleanup(transport.CloseIdleConnections)
		run(t, s)
	})
}

// dial returns a connection to the relay through an ingress of that name.
func (s *stage) dial(ingress string) *grpc.ClientConn {
	s.t.Helper()
	cc, err := grpc.NewClient("passthrough:///relay", s.options(func(*grpc.ClientConn) string { return ingress })...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = cc.Close() })
	return cc
}

func (s *stage) options(ingress func(*grpc.ClientConn) string) []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return s.clients.DialContext(ctx) }),
		grpc.WithStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string,
			streamer grpc.Streamer, opts ...grpc.CallOption,
		) (grpc.ClientStream, error) {
			return streamer(metadata.AppendToOutgoingContext(ctx, "x-ingress-id", ingress(cc)), desc, cc, method, opts...)
		}),
	}
}

// admin returns a client of the admin service.
func (s *stage) admin() holdfastv1.AdminServiceClient {
	s.t.Helper()
	cc, err := grpc.NewClient("passthrough:///relay", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return s.operators.DialContext(ctx) }))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = cc.Close() })
	return holdfastv1.NewAdminServiceClient(cc)
}

// server runs an app server that echoes, with a server connection through each ingress.
func (s *stage) server(id string, ingresses ...string) (stop func()) {
	s.t.Helper()
	cfg := appserver.Config{
		ServerID: id, Application: "echo", Logger: slog.New(slog.DiscardHandler), ShutdownGrace: -1,
		Handler: appserver.HandlerFunc(func(ctx context.Context, c *appserver.Connection) error {
			for {
				m, err := c.Receive(ctx)
				if err == nil {
					err = c.Send(ctx, m)
				}
				if err != nil {
					return nil
				}
			}
		}),
	}
	for _, in := range ingresses {
		cfg.Relays = append(cfg.Relays, "passthrough:///"+in)
	}
	cfg.DialOptions = s.options(func(cc *grpc.ClientConn) string { return strings.TrimPrefix(cc.Target(), "passthrough:///") })
	server, err := appserver.New(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := server.Run(ctx); err != nil {
			s.t.Errorf("app server %s: %v", id, err)
		}
	})
	stop = func() {
		cancel()
		running.Wait()
	}
	s.t.Cleanup(stop)
	synctest.Wait()
	return stop
}

// client connects a client that was echoed to, and returns the id of its connection.
func (s *stage) client(ingress string) (id string, stream holdfastv1.ClientConnectionService_ConnectClient) {
	s.t.Helper()
	return s.clientOn(s.dial(ingress))
}

func (s *stage) clientOn(cc *grpc.ClientConn) (id string, stream holdfastv1.ClientConnectionService_ConnectClient) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s.t.Cleanup(cancel)
	stream, err := holdfastv1.NewClientConnectionServiceClient(cc).Connect(ctx)
	if err == nil {
		err = stream.Send(&holdfastv1.ConnectRequest{Hello: &holdfastv1.Hello{}})
	}
	var welcome, echoed *holdfastv1.ConnectResponse
	if err == nil {
		welcome, err = stream.Recv()
	}
	if err == nil {
		err = stream.Send(&holdfastv1.ConnectRequest{Content: &holdfastv1.ConnectRequest_Text{Text: "x"}})
	}
	if err == nil {
		echoed, err = stream.Recv()
	}
	if err != nil || echoed.GetText() != "x" {
		s.t.Fatalf("a client got %v, %v", echoed, err)
	}
	synctest.Wait()
	return welcome.GetWelcome().GetConnectionId(), stream
}

// answer is what the console answered.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// reason returns the reason of a refusal, "" when it is none.
func (a answer) reason() string {
	var body struct {
		Error struct{ Reason, Message string }
	}
	if json.Unmarshal(a.body, &body) != nil || (body.Error.Reason != "" && body.Error.Message == "") {
		return "NO JSON: " + string(a.body)
	}
	return body.Error.Reason
}

// into reads the answer, which must be a success.
func (a answer) into(t *testing.T, value any) {
	t.Helper()
	if a.status != http.StatusOK {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	if err := json.Unmarshal(a.body, value); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
}

func (s *stage) do(method, path, body string, headers ...string) answer {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, "http://127.0.0.1:7401"+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := s.browser.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var content bytes.Buffer
	if _, err := io.Copy(&content, response.Body); err != nil {
		s.t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, content.Bytes()}
}

func (s *stage) get(path string) answer {
	s.t.Helper()
	return s.do(http.MethodGet, path, "")
}

func (s *stage) post(path string, value any) answer {
	s.t.Helper()
	body, err := json.Marshal(value)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.do(http.MethodPost, path, string(body), "Content-Type", "application/json")
}

// state is what /api/state has.
type state struct {
	Time      time.Time
	RelayID   string `json:"relay_id"`
	ReadOnly  bool   `json:"read_only"`
	Ingresses []struct {
		Name      string
		Draining  bool
		ReturnsAt time.Time `json:"returns_at"`
		Servers   int       `json:"server_connections"`
		Clients   int       `json:"client_connections"`
		Away      int       `json:"clients_away"`
		Logical   int       `json:"logical_connections"`
	}
	ServerConnections []struct {
		ID, Application, Ingress, Address string

		ServerID string `json:"server_id"`
		Draining bool
		Logical  int `json:"logical_connections"`
	} `json:"server_connections"`
	Reloads []progress
}

type progress struct {
	Ingress                string
	Planned, Moved, Closed int
	Left                   []struct {
		Reason      string
		Connections int
	}
	ClientsAsked int   `json:"clients_asked"`
	ClientsMoved int   `json:"clients_moved"`
	Elapsed      int64 `json:"elapsed_ms"`
	Done, Safe   bool
}

func (s *stage) state() state {
	s.t.Helper()
	var v state
	s.get("/api/state").into(s.t, &v)
	return v
}

// find looks a connection up; nil when there is none.
func (s *stage) find(id string) map[string]any {
	s.t.Helper()
	var found struct{ Connections []map[string]any }
	s.get("/api/connections?id="+id).into(s.t, &found)
	switch len(found.Connections) {
	case 0:
		return nil
	case 1:
		return found.Connections[0]
	}
	s.t.Fatalf("%d connections have the id %s", len(found.Connections), id)
	return nil
}

// summary says what the ingresses and server connections carry, such as "a 2/1 b 0/1!": clients and logical connections of
// each ingress, with a mark for one that drains.
func (v state) summary() string {
	var parts []string
	for _, i := range v.Ingresses {
		mark := ""
		if i.Draining {
			mark = "!"
		}
		parts = append(parts, fmt.Sprintf("%s %d/%d%s", i.Name, i.Clients, i.Logical, mark))
	}
	return strings.Join(parts, " ")
}

// path returns the id of the server connection through the ingress.
func (v state) path(t *testing.T, ingress string) string {
	t.Helper()
	for _, c := range v.ServerConnections {
		if c.Ingress == ingress {
			return c.ID
		}
	}
	t.Fatalf("no server connection through %s in %+v", ingress, v.ServerConnections)
	return ""
}

var errOver = errors.New("the stream is over")
