package cli

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/ingress"
)

type ingressCommand struct {
	Listen   string        `required:"" placeholder:"HOST:PORT" help:"Where to take connections, HTTP/2 without TLS."`
	Upstream string        `required:"" placeholder:"HOST:PORT" help:"The relay's application port."`
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
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("--listen %s: %w", c.Listen, err)
	}
	in, err := ingress.New(ingress.Config{
		ID: c.ID, Upstream: c.Upstream, Grace: c.Grace, Logger: slog.New(slog.NewTextHandler(e.errs, nil)),
	}, listener)
	if err != nil {
		_ = listener.Close()
		return err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(signals)

	over := make(chan struct{})
	var obeying sync.WaitGroup
	obeying.Go(func() { obey(in, signals, over) })
	err = in.Run(ctx)
	close(over)
	obeying.Wait()
	return err
}

// obey does what the signals ask for until over is closed.
func obey(in *ingress.Ingress, signals <-chan os.Signal, over <-chan struct{}) {
	for {
		select {
		case s := <-signals:
			if s == syscall.SIGHUP {
				in.Reload()
			} else {
				in.Drain()
			}
		case <-over:
			return
		}
	}
}
