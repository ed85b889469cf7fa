package app

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// freeAddress returns an address that nobody listens at.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func config(t *testing.T) Config {
	t.Helper()
	return Config{
		Relays: []string{freeAddress(t)}, ConnectionsPerRelay: 1, ServerID: "s", InstanceID: "i", Application: "echo",
		Listen: freeAddress(t), ShutdownGrace: time.Second,
	}
}

// With no relay the app server runs on and is not serving; it ends when it is told to.
func TestRunWithNoRelay(t *testing.T) {
	cfg := config(t)
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- Run(ctx, cfg, slog.New(slog.DiscardHandler)) }()

	conn, err := grpc.NewClient(cfg.Listen, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	response, err := grpc_health_v1.NewHealthClient(conn).
		Check(t.Context(), &grpc_health_v1.HealthCheckRequest{}, grpc.WaitForReady(true))
	if err != nil || response.GetStatus() != notServing {
		t.Errorf("got %v, %v", response.GetStatus(), err)
	}
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

func TestRunWithItsPortTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg := config(t)
	cfg.Listen = taken.Addr().String()
	if err := Run(t.Context(), cfg, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "--listen "+cfg.Listen) {
		t.Errorf("got %v", err)
	}
}

func TestLogFormats(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]string{"json": `"msg":"hello"`, "text": "msg=hello"} {
		var b strings.Builder
		log := newLogger(Config{LogFormat: format, LogLevel: "warn"}, &b)
		log.Info("not this")
		log.Warn("hello")
		if !strings.Contains(b.String(), want) || strings.Contains(b.String(), "not this") {
			t.Errorf("%s: %q", format, b.String())
		}
	}
}
