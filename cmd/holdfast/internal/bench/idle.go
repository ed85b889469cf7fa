package bench

import (
	"context"
	"errors"
	"fmt"
)

// IdleCase is what clients cost that say nothing.
type IdleCase struct {
	// Sockets: they are clients over WebSocket, for which there is no bare echo server.
	Sockets bool `json:"websocket,omitempty"`
	// PerConnection is how many streams share a TCP connection.
	PerConnection int `json:"streams_per_connection"`
	Streams       int `json:"streams"`
	// Relay and Echo are resident bytes for each client, in the relay and in the bare echo server.
	Relay float64 `json:"relay_bytes"`
	Echo  float64 `json:"echo_bytes,omitempty"`
	Ratio float64 `json:"ratio,omitempty"`
}

// name says which case it is.
func (c *IdleCase) name() string {
	if c.Sockets {
		return fmt.Sprintf("%d clients over WebSocket", c.Streams)
	}
	return fmt.Sprintf("%d streams, %d a TCP connection", c.Streams, c.PerConnection)
}

// idle measures the memory of idle clients.
func (r *run) idle(ctx context.Context) error {
	for _, c := range []IdleCase{
		{PerConnection: streamsPerConnection, Streams: r.cfg.IdleShared},
		{PerConnection: 1, Streams: r.cfg.IdleAlone},
		{PerConnection: 1, Streams: r.cfg.IdleSockets, Sockets: true},
	} {
		err := r.idleCase(ctx, &c)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			r.fail(fmt.Errorf("idle, %s: %w", c.name(), err))
			continue
		}
		r.result.Idle = append(r.result.Idle, c)
		r.say("idle: %s: relay %s a client, bare echo server %s", c.name(), bytesText(c.Relay), c.echoText())
	}
	return nil
}

// echoText says what a client costs the bare echo server.
func (c *IdleCase) echoText() string {
	if c.Sockets {
		return "-"
	}
	return bytesText(c.Echo)
}

func (c *IdleCase) ratioText() string {
	if c.Sockets {
		return "-"
	}
	return fmt.Sprintf("%.2f", c.Ratio)
}

func (r *run) idleCase(ctx context.Context, c *IdleCase) (err error) {
	if c.Relay, err = r.idleBytes(ctx, c, Holdfast, "relay"); err != nil {
		return err
	}
	if c.Sockets {
		return nil
	}
	if c.Echo, err = r.idleBytes(ctx, c, Direct, "echo"); err != nil {
		return err
	}
	c.Ratio, _ = ratio(c.Relay, c.Echo)
	return nil
}

// idleBytes starts a subject afresh, so that nothing of an earlier load is in its memory, and returns the resident
// bytes that a process of it has for each client.
func (r *run) idleBytes(ctx context.Context, c *IdleCase, name, process string) (bytes float64, err error) {
	stage, done, err := r.stage(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, done()) }()
	s, err := stage.theatre.buildIdle(stage.ctx, c, name)
	if err != nil {
		return 0, err
	}
	before, err := systemProc.usage(s.pid(process))
	if err != nil {
		return 0, err
	}
	f, err := connect(stage.ctx, order{
		target: s, streams: c.Streams, streamsConnection: c.PerConnection, size: goalSize, inflight: 1, patience: r.cfg.Patience,
	})
	if err != nil {
		return 0, err
	}
	defer f.close()
	if err := pause(f.ctx, r.cfg.IdleQuiet); err != nil {
		return 0, err
	}
	after, err := systemProc.usage(s.pid(process))
	if err != nil {
		return 0, err
	}
	return max(float64(after.rss)-float64(before.rss), 0) / float64(c.Streams), nil
}

func (t *theatre) buildIdle(ctx context.Context, c *IdleCase, name string) (*subject, error) {
	if !c.Sockets {
		return t.build(ctx, name)
	}
	s, address, err := t.buildWithSockets(ctx)
	if err != nil {
		return nil, err
	}
	s = s.as(name, address, dialSocket)
	return s, ready(ctx, s)
}
