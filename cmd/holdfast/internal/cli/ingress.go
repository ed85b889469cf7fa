package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/ingress"
)

type ingressCommand struct {
	Listen   string        `required:"" placeholder:"HOST:PORT" help:"Where to take connections, HTTP/2 without TLS."`
	Upstream []string      `required:"" placeholder:"HOST:PORT" help:"The relay's application port; with several relays streams go to them in turn."`
	Forward  []string      `placeholder:"HOST:PORT=HOST:PORT" help:"Where to take connections for one relay, and its application port: for app servers, which attach to each relay."`
	ID       string        `required:"" name:"id" help:"The value of x-ingress-id."`
	Grace    time.Duration `default:"5s" help:"For how long open streams run on after a reload."`
}

// Help is shown by --help.
func (ingressCommand) Help() string {
	return `SIGHUP reloads it the way nginx reloads: a new generation serves new connections at once; old connections get GOAWAY, and their open streams are cut when the grace is over. SIGQUIT drains it, SIGTERM and SIGINT end it at once.

Example:
  holdfast ingress --listen 127.0.0.1:8080 --upstream 127.0.0.1:7400 --id ingress-a`
}

// Run runs the command.
func (c *ingressCommand) Run(ctx context.Context, e *environment) error {
	ports, err := c.ports(slog.New(slog.NewTextHandler(e.errs, nil)))
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(signals)

	over := make(chan struct{})
	var obeying sync.WaitGroup
	obeying.Go(func() { obey(ports, signals, over) })
	err = runAll(ctx, ports)
	close(over)
	obeying.Wait()
	return err
}

// ports returns the ports of the ingress, which listen already. Each is an ingress for itself, and all have one id.
func (c *ingressCommand) ports(log *slog.Logger) (ports []*ingress.Ingress, err error) {
	defer func() {
		if err != nil {
			over, cancel := context.WithCancel(context.Background())
			cancel()
			err = errors.Join(err, runAll(over, ports)) // closes what listens
		}
	}()
	add := func(flag, listen string, upstreams []string) error {
		listener, err := net.Listen("tcp", listen)
		if err != nil {
			return fmt.Errorf("%s %s: %w", flag, listen, err)
		}
		in, err := ingress.New(ingress.Config{ID: c.ID, Upstreams: upstreams, Grace: c.Grace, Logger: log}, listener)
		if err != nil {
			return errors.Join(err, listener.Close())
		}
		ports = append(ports, in)
		return nil
	}
	if err := add("--listen", c.Listen, c.Upstream); err != nil {
		return ports, err
	}
	for _, forward := range c.Forward {
		listen, upstream, _ := strings.Cut(forward, "=")
		if err := add("--forward", listen, []string{upstream}); err != nil {
			return ports, err
		}
	}
	return ports, nil
}

// runAll runs the ports until all have ended. When one fails all are ended.
func runAll(ctx context.Context, ports []*ingress.Ingress) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, len(ports))
	for _, in := range ports {
		go func() { ended <- in.Run(ctx) }()
	}
	var errs []error
	for range ports {
		if err := <-ended; err != nil {
			errs = append(errs, err)
			cancel()
		}
	}
	return errors.Join(errs...)
}

// obey does what the signals ask for until over is closed.
func obey(ports []*ingress.Ingress, signals <-chan os.Signal, over <-chan struct{}) {
	for {
		select {
		case s := <-signals:
			for _, in := range ports {
				if s == syscall.SIGHUP {
					in.Reload()
				} else {
					in.Drain()
				}
			}
		case <-over:
			return
		}
	}
}
