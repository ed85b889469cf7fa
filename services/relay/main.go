// Command relay holds client connections and carries them to app servers over a few server connections.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/holdfast/holdfast/pkg/gcfloor"
	"github.com/holdfast/holdfast/pkg/observe"
	"github.com/holdfast/holdfast/services/relay/internal/config"
	"github.com/holdfast/holdfast/services/relay/internal/relay"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "relay:", err)
		os.Exit(1)
	}
}

func run() error {
	cfg, err := config.Parse(os.Args[1:], os.Stdout, kong.Name("relay"),
		kong.Description("Holds client connections and moves them between the paths to their app server.\n\n"+
			"Example: relay --listen 0.0.0.0:7400 --trusted-networks 10.0.0.0/8 --tls-cert tls.crt --tls-key tls.key --server-ca ca.crt"))
	if cfg == nil {
		return err
	}
	gcfloor.Set(gcfloor.Default)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := cfg.Logger()
	telemetry, err := observe.Start(ctx, observe.Service{Name: "holdfast-relay", InstanceID: cfg.RelayID}, log)
	if err != nil {
		return err
	}
	r, err := relay.New(cfg, log, telemetry)
	if err == nil {
		err = r.ListenAndServe(ctx)
	}
	if lost := telemetry.Shutdown(context.Background()); lost != nil {
		log.Warn("telemetry", "error", lost)
	}
	return err
}
