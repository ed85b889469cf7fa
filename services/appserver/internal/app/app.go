// Package app is the process of the sample app server: configuration, logging, health and shutdown around
// the application of package sample.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"github.com/holdfast/holdfast/pkg/appserver"
	"github.com/holdfast/holdfast/pkg/gcfloor"
	"github.com/holdfast/holdfast/pkg/observe"
	"github.com/holdfast/holdfast/services/appserver/internal/sample"
)

// Main runs the app server until SIGINT or SIGTERM and returns the exit code. A second signal ends the
// process at once.
func Main(args []string, stdout, stderr io.Writer) int {
	cfg, err := Parse(args, stdout)
	if errors.Is(err, errHelp) {
		return 0
	}
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		context.AfterFunc(ctx, stop)
		gcfloor.Set(gcfloor.Default)
		err = Run(ctx, cfg, newLogger(cfg, stderr))
	}
	if err != nil {
		fmt.Fprintf(stderr, "appserver: %v\n", err)
		return 1
	}
	return 0
}

// Run runs the app server until ctx is done and its connections have ended.
func Run(ctx context.Context, cfg Config, log *slog.Logger) error {
	telemetry, err := observe.Start(ctx, observe.Service{Name: "holdfast-appserver", InstanceID: cfg.InstanceID}, log)
	if err != nil {
		return err
	}
	err = run(ctx, cfg, log, telemetry)
	if lost := telemetry.Shutdown(context.WithoutCancel(ctx)); lost != nil {
		log.Warn("telemetry", "error", lost)
	}
	return err
}

func run(ctx context.Context, cfg Config, log *slog.Logger, telemetry *observe.Telemetry) error {
	options, closeTLS, err := cfg.dialOptions()
	if err != nil {
		return err
	}
	defer closeTLS()
	server, err := appserver.New(appserver.Config{
		DialOptions:         options,
		Relays:              cfg.Relays,
		RelayNames:          cfg.RelayNames,
		ConnectionsPerRelay: cfg.ConnectionsPerRelay,
		ServerID:            cfg.ServerID,
		InstanceID:          cfg.InstanceID,
		Application:         cfg.Application,
		Handler:             appserver.HandlerFunc(sample.ServeConnection),
		Logger:              log,
		MeterProvider:       telemetry.Meters,
		TracerProvider:      telemetry.Traces,
		ParkTime:            orNone(cfg.ParkTime),
		ShutdownGrace:       orNone(cfg.ShutdownGrace),
	})
	if err != nil {
		return err
	}
	stopMetrics, err := serveMetrics(cfg.MetricsListen, telemetry.Page, log)
	if err != nil {
		return err
	}
	return errors.Join(serveHealthAnd(ctx, cfg, log, server), stopMetrics())
}

// serveHealthAnd runs the server with its health port beside it.
func serveHealthAnd(ctx context.Context, cfg Config, log *slog.Logger, server *appserver.Server) error {
	listener, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return fmt.Errorf("--listen %s: %w", cfg.Listen, err)
	}
	log.Info("app server started", "server_id", cfg.ServerID, "instance_id", cfg.InstanceID,
		"application", cfg.Application, "relays", cfg.Relays, "relay_names", cfg.RelayNames, "listen", listener.Addr().String())

	inside, cancel := context.WithCancel(ctx)
	defer cancel()
	served := make(chan error, 1)
	healthServer := newHealthServer(inside, server.Attached)
	go func() {
		served <- serve(healthServer, listener)
		cancel() // Without its health port the app server would be taken for dead: end it.
	}()
	err = server.Run(inside)
	cancel()
	healthServer.Stop()
	if err = errors.Join(err, <-served); err == nil {
		log.Info("app server stopped")
	}
	return err
}

func newHealthServer(stopping context.Context, attached func() int) *grpc.Server {
	s := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(s, &health{attached: attached, stopping: stopping})
	reflection.Register(s)
	return s
}

func serve(s *grpc.Server, listener net.Listener) error {
	err := s.Serve(listener)
	if errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	return err
}

func newLogger(cfg Config, w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.LogLevel)); err != nil {
		panic(err) // The flag's enum has no such level.
	}
	options := &slog.HandlerOptions{Level: level}
	if cfg.LogFormat == "text" {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

// orNone returns the duration as the library wants it: there 0 is the default and less than 0 is none.
func orNone(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}
