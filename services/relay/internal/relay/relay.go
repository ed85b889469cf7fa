// Package relay puts the relay together: listeners, services, and their orderly end.
package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"google.golang.org/grpc"
	channelz "google.golang.org/grpc/channelz/service"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/observe"
	"github.com/holdfast/holdfast/services/relay/internal/admin"
	"github.com/holdfast/holdfast/services/relay/internal/adminport"
	"github.com/holdfast/holdfast/services/relay/internal/admission"
	"github.com/holdfast/holdfast/services/relay/internal/clientleg"
	"github.com/holdfast/holdfast/services/relay/internal/config"
	"github.com/holdfast/holdfast/services/relay/internal/console"
	"github.com/holdfast/holdfast/services/relay/internal/evacuation"
	"github.com/holdfast/holdfast/services/relay/internal/event"
	"github.com/holdfast/holdfast/services/relay/internal/ingress"
	"github.com/holdfast/holdfast/services/relay/internal/logical"
	"github.com/holdfast/holdfast/services/relay/internal/registry"
	"github.com/holdfast/holdfast/services/relay/internal/serverleg"
	"github.com/holdfast/holdfast/services/relay/internal/telemetry"
)

// messageOverhead is what a gRPC message may take beside the payload of its largest message, in bytes: the rest
// of a batch, and the names of fields.
const messageOverhead = 64 << 10

// The windows of HTTP/2, in bytes. They stand still: a window that follows the bandwidth grows to 16 MiB for each client
// stream, and that much would wait in the relay for each client whose connection takes nothing.
const (
	streamWindow = 256 << 10
	connWindow   = 1 << 20
)

// maxStreams bounds the streams of one TCP connection: an ingress has thousands on one.
const maxStreams = 100_000

// pingTime is after what time a TCP connection that says nothing is asked whether it lives. It is no heartbeat: an ingress answers it
// by itself, and takes it now and then for traffic of a stream that it is about to cut.
const pingTime = 2 * time.Minute

// clientPings is how often clients may ask the same of the relay: those that have no ingress between would be cut for it else.
const clientPings = 10 * time.Second

// maxHeaderBytes bounds the metadata of a stream: a token of some KiB fits.
const maxHeaderBytes = 32 << 10

// idleTimeout is for how long a connection to a listener may carry nothing.
const idleTimeout = 5 * time.Minute

// headerTimeout is for how long the head of an HTTP request may take.
const headerTimeout = 10 * time.Second

// Relay is one relay.
type Relay struct {
	config    *config.Config
	log       *slog.Logger
	registry  *registry.Registry
	evacuator *evacuation.Evacuator
	clients   *clientleg.Service
	servers   *serverleg.Service
	health    *health.Server
	// application serves clients and app servers, operators the rest.
	application, operators *grpc.Server
	// web serves HTTP beside gRPC on the admin listener.
	web      *http.Server
	sockets  *sockets
	secrets  *secrets
	metrics  http.Handler
	console  *console.Console
	stopping chan struct{}
}

// New returns a relay that is not serving yet. It reports to t, whose end is its caller's.
func New(cfg *config.Config, log *slog.Logger, t *observe.Telemetry) (*Relay, error) {
	counters, err := telemetry.New(t.Meters, t.Traces)
	if err != nil {
		return nil, fmt.Errorf("making the counters: %w", err)
	}
	secrets, err := openSecrets(cfg, counters, log)
	if err != nil {
		return nil, err
	}
	logical.Expect(counters)
	events := &event.Hub{}
	r := &Relay{
		config: cfg, log: log, health: health.NewServer(), metrics: t.Page, secrets: secrets, stopping: make(chan struct{}),
	}
	r.registry = registry.New(events, counters, log, cfg.Applications)
	r.evacuator = evacuation.New(r.registry, counters, log, evacuation.Config{
		MaxInFlight: cfg.MaxMovesInFlight, MigrationTimeout: cfg.MigrationTimeout, ParkTime: cfg.ParkTime,
	})
	identifier := ingress.NewIdentifier(cfg.Networks(), cfg.Vouching())
	r.clients = clientleg.New(clientleg.Config{
		MaxMessageBytes: cfg.MaxMessageBytes, SlowClientTimeout: cfg.SlowClientTimeout, Limits: cfg.Limits,
		Identities: secrets.clients, Gate: admission.New(cfg.Limits),
		Tokens: secrets.resume, Resume: cfg.Resume, AnswerTimeout: cfg.MigrationTimeout, RelayID: cfg.RelayID,
	}, r.registry, identifier, counters, log)
	r.evacuator.SetClients(r.clients)
	r.sockets = newSockets(func(ctx context.Context) http.Handler { return r.clients.WebSocket(ctx, cfg.WebsocketOrigins) })
	r.servers = serverleg.New(serverleg.Config{
		RelayID: cfg.RelayID, WindowBytes: cfg.WindowBytes,
		MaxMessageBytes: cfg.MaxMessageBytes, HeartbeatInterval: cfg.HeartbeatInterval,
		HandshakeTimeout: cfg.HandshakeTimeout, Identities: secrets.servers,
	}, r.registry, identifier, counters, log)

	if err := counters.Observe(r.state); err != nil {
		return nil, err
	}

	options := append(applicationOptions(log), grpc.MaxRecvMsgSize(cfg.MaxMessageBytes+messageOverhead),
		grpc.MaxHeaderListSize(maxHeaderBytes), grpc.StaticStreamWindowSize(streamWindow), grpc.StaticConnWindowSize(connWindow),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: clientPings, PermitWithoutStream: true}),
		grpc.MaxConcurrentStreams(maxStreams), grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: idleTimeout, Time: pingTime}))
	r.application = grpc.NewServer(append(options, secrets.options()...)...)
	holdfastv1.RegisterClientConnectionServiceServer(r.application, r.clients)
	holdfastv1.RegisterServerConnectionServiceServer(r.application, r.servers)
	healthv1.RegisterHealthServer(r.application, r.health)
	reflection.Register(r.application)

	r.operators = grpc.NewServer(operatorOptions(log, t.Meters, secrets.token)...)
	service := admin.New(r.registry, r.evacuator, events, cfg.ReloadDeadline, cfg.Level(), r.stopping)
	holdfastv1.RegisterAdminServiceServer(r.operators, service)
	healthv1.RegisterHealthServer(r.operators, r.health)
	channelz.RegisterChannelzServiceToServer(r.operators)
	reflection.Register(r.operators)
	r.console = console.New(console.Config{RelayID: cfg.RelayID, ReadOnly: cfg.ReadOnlyConsole}, service, events, log, r.stopping)
	r.web = &http.Server{Handler: secrets.guard(r.pages()), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes}
	return r, nil
}

// state is what the gauges show.
func (r *Relay) state() telemetry.State {
	s := telemetry.State{Moves: r.evacuator.Open()}
	r.registry.Census(&s)
	r.clients.Census(&s)
	return s
}

// pages are what the admin listener serves over HTTP.
func (r *Relay) pages() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", r.console)
	if r.metrics != nil {
		mux.Handle("GET /metrics", r.metrics)
	}
	if r.config.Pprof {
		adminport.AddProfiles(mux)
	}
	return mux
}

// ListenAndServe serves on the configured addresses until the context ends, then shuts down.
func (r *Relay) ListenAndServe(ctx context.Context) error {
	application, err := net.Listen("tcp", r.config.Listen)
	if err != nil {
		r.secrets.close()
		return fmt.Errorf("listening for clients and app servers: %w", err)
	}
	operators, err := net.Listen("tcp", r.config.AdminListen)
	if err != nil {
		r.secrets.close()
		return errors.Join(fmt.Errorf("listening for operators: %w", err), application.Close())
	}
	var sockets net.Listener
	if r.config.WebsocketListen != "" {
		if sockets, err = net.Listen("tcp", r.config.WebsocketListen); err != nil {
			r.secrets.close()
			return errors.Join(fmt.Errorf("listening for clients over WebSocket: %w", err), application.Close(), operators.Close())
		}
		r.log.Info("relay is serving clients over WebSocket", "websocket_listen", sockets.Addr())
	}
	r.log.Info("relay is serving", "relay", r.config.RelayID, "listen", application.Addr(), "admin_listen", operators.Addr())
	return r.Serve(ctx, application, operators, sockets)
}

// Serve serves on the listeners until the context ends, then says goodbye to every stream and waits for them for
// the shutdown grace at most. Sockets is for clients over WebSocket, nil for none. It may be called once.
func (r *Relay) Serve(ctx context.Context, application, operators, sockets net.Listener) error {
	defer r.secrets.close()
	defer r.sockets.cut()
	var wg sync.WaitGroup
	failed := make(chan error, 3)
	serve := func(s *grpc.Server, l net.Listener) {
		wg.Go(func() {
			if err := s.Serve(l); err != nil {
				failed <- fmt.Errorf("serving on %v: %w", l.Addr(), err)
			}
		})
	}
	caring, stopCaring := context.WithCancel(context.Background())
	var care sync.WaitGroup
	care.Go(func() { r.evacuator.Run(caring) })
	care.Go(func() { r.clients.Care(caring) })
	serve(r.application, application)
	rpc, web := adminport.Split(r.secrets.operatorListener(operators))
	defer rpc.Wait()
	defer r.console.Wait() // what it runs ends with the connections
	defer func() { _ = r.web.Close() }()
	wg.Go(func() { _ = r.web.Serve(web) }) // ends with the gRPC server's listener
	serve(r.operators, rpc)
	if sockets != nil {
		l := r.secrets.socketListener(sockets)
		wg.Go(func() {
			if err := r.sockets.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("serving on %v: %w", l.Addr(), err)
			}
		})
	}

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.config.ShutdownGrace)
	defer cancel()
	r.farewell(grace)
	// Nothing is moved any more: every path goes, and a Close that has to wait for a handoff may never arrive.
	stopCaring()
	care.Wait()
	r.shutdown(grace)
	wg.Wait()
	return err
}

// farewell ends the streams of clients. Resumable ones have most of the grace to move: they are spread over half of it, and those that are
// left after three quarters are cut.
func (r *Relay) farewell(grace context.Context) {
	r.health.Shutdown()
	r.registry.Stop()
	close(r.stopping)
	most, cancel := context.WithTimeout(grace, r.config.ShutdownGrace/4*3)
	defer cancel()
	r.clients.Farewell(most, min(r.config.ReconnectWindow, r.config.ShutdownGrace/2))
}

// shutdown ends every other stream with a typed reason, until the grace is over. GracefulStop alone would wait for ever for streams
// that have no end of their own.
func (r *Relay) shutdown(over context.Context) {
	began := time.Now()
	for _, s := range r.registry.ServerConnections() {
		s.Writer.Draining("the relay is shutting down")
		r.registry.Draining(s, "the relay is shutting down") // it ends once nothing uses it
	}
	graceful := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		var servers sync.WaitGroup
		servers.Go(r.sockets.drain)
		servers.Go(r.application.GracefulStop)
		servers.Go(r.operators.GracefulStop)
		servers.Wait()
		r.clients.WaitSockets()
		close(graceful)
	})
	select {
	case <-graceful:
	case <-over.Done():
		r.log.Warn("streams did not end in time and are cut", "grace", r.config.ShutdownGrace)
		r.application.Stop()
		r.operators.Stop()
		r.sockets.cut()
	}
	wg.Wait()
	r.clients.Wait()
	r.servers.Wait()
	r.log.Info("relay has stopped", "elapsed", time.Since(began))
}
