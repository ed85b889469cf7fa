package bench

import (
	"context"
	"errors"
	"fmt"
)

// IdleCase is what clients cost that say nothing.
type IdleCase struct {
	// PerConnection is how many streams share a TCP connection.
	PerConnection int `json:"streams_per_connection"`
	Streams       int `json:"streams"`
	// Relay and Echo are resident bytes for each client, in the relay and in the bare echo server.
	Relay float64 `json:"relay_bytes"`
	Echo  float64 `json:"echo_bytes"`
	Ratio float64 `json:"ratio"`
}

// idle measures the memory of idle clients.
func (r *run) idle(ctx context.Context) error {
	for _, c := range []IdleCase{
		{PerConnection: streamsPerConnection, Streams: r.cfg.IdleShared}, {PerConnection: 1, Streams: r.cfg.IdleAlone},
	} {
		err := r.idleCase(ctx, &c)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			r.fail(fmt.Errorf("idle, %d streams, %d a TCP connection: %w", c.Streams, c.PerConnection, err))
			continue
		}
		r.result.Idle = append(r.result.Idle, c)
		r.say("idle: %d streams, %d a TCP connection: relay %s, bare echo server %s a client",
			c.Streams, c.PerConnection, bytesText(c.Relay), bytesText(c.Echo))
	}
	return nil
}

func (r *run) idleCase(ctx context.Context, c *IdleCase) (err error) {
	if c.Relay, err = r.idleBytes(ctx, c, Holdfast, "relay"); err != nil {
		return err
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
	s, err := stage.theatre.build(stage.ctx, name)
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
