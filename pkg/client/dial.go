package client

import (
	"context"
	"fmt"

	"github.com/cenkalti/backoff/v5"
)

// Dial opens a connection and returns it once a relay has welcomed it. It tries all addresses, and again with growing pauses,
// until the context ends: its error is the context's cause then, with that of the last attempt. It returns a *CloseError as soon
// as a relay refuses for a reason that time does not change.
//
// The context is for Dial only: the connection lives until the application or Close ends it, or it is lost.
func Dial(ctx context.Context, config Config) (*Connection, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	c := newConnection(ctx, config)
	k := &keeper{Connection: c, retry: &backoff.ExponentialBackOff{
		InitialInterval: config.MinBackoff, MaxInterval: config.MaxBackoff, Multiplier: 2, RandomizationFactor: 0.5,
	}}
	k.retry.Reset()
	first, err := k.open(ctx)
	if err != nil {
		c.cancel(errOver)
		return nil, err
	}
	c.log.Info("connected", "address", first.route.address, "ingress", first.ingress, "relay", first.relay)
	if config.Events != nil {
		c.events = make(chan Event, heldEvents)
		go c.tellAll()
	}
	go k.run(first)
	return c, nil
}

func newConnection(ctx context.Context, config Config) *Connection {
	c := &Connection{
		config: config, log: config.Logger, routes: newRoutes(config.Addresses),
		arrived: make(chan struct{}, 1), room: make(chan struct{}, 1), sending: make(chan struct{}, 1),
		over: make(chan struct{}), gone: make(chan struct{}),
	}
	c.life, c.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	c.busy, c.finish = context.WithCancel(c.life)
	return c
}

// open opens the first stream.
func (k *keeper) open(ctx context.Context) (*link, error) {
	for last := errNoWelcome; ; {
		l, err := k.try(ctx, "")
		if err == nil {
			return l, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("no relay welcomed the client: %w; the last attempt: %w", context.Cause(ctx), last)
		}
		last = err
		if why := k.judge(err, true); why != nil {
			return nil, why
		}
		k.log.Warn("cannot connect", "error", err)
		k.rest(ctx, err, nil)
	}
}
