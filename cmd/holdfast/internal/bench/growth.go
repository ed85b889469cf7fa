package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

const (
	// bytesPerStream is about what all processes together need for one stream.
	bytesPerStream = 200 << 10
	// spareFiles are the files that a process needs beside those for TCP connections.
	spareFiles = 200
)

// Curve is how the relay does with more and more streams.
type Curve struct {
	Points []GrowthPoint `json:"points"`
	// Stopped says why larger numbers were left out; empty when none was.
	Stopped string `json:"stopped,omitempty"`
}

// GrowthPoint is how the relay does with one number of streams.
type GrowthPoint struct {
	Streams int    `json:"streams"`
	Window  Window `json:"window"`
	// CPU is the relay's, in microseconds a message; RSS the relay's resident bytes a stream.
	CPU float64 `json:"relay_cpu_us_per_message"`
	RSS float64 `json:"relay_rss_bytes_per_stream"`
	// Moved is how many connections the reload of an ingress moved that carried all of them, and MoveSeconds within
	// what time.
	Moved       uint64  `json:"moved"`
	MoveSeconds float64 `json:"move_seconds"`
	// Unmoved says what could not be moved in time; empty when everything was.
	Unmoved string `json:"unmoved,omitempty"`
}

// moveText says how moving everything went.
func (p GrowthPoint) moveText() string {
	if p.Unmoved != "" {
		return fmt.Sprintf("only %s within %.0f s", p.Unmoved, p.MoveSeconds)
	}
	return fmt.Sprintf("%d moved within %.3f s", p.Moved, p.MoveSeconds)
}

// growth measures the relay with more and more streams, as far as the machine goes.
func (r *run) growth(ctx context.Context) error {
	r.result.Growth = &Curve{Points: []GrowthPoint{}}
	for _, streams := range slices.Sorted(slices.Values(r.cfg.GrowthStreams)) {
		if why := tooMany(streams); why != "" {
			r.result.Growth.Stopped = fmt.Sprintf("before %d streams: %s", streams, why)
			r.say("growth: stopped %s", r.result.Growth.Stopped)
			return nil
		}
		p, err := r.growthPoint(ctx, streams)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			r.fail(fmt.Errorf("growth, %d streams: %w", streams, err))
			r.result.Growth.Stopped = fmt.Sprintf("at %d streams: %v", streams, err)
			return nil
		}
		r.result.Growth.Points = append(r.result.Growth.Points, p)
		r.say("growth: %d streams: %.0f messages/s, relay %.2f µs CPU a message and %s a stream; %s",
			streams, p.Window.PerSecond, p.CPU, bytesText(p.RSS), p.moveText())
	}
	return nil
}

// tooMany says why this machine cannot do so many streams; empty when it can.
func tooMany(streams int) string {
	files, err := fileLimit()
	if err != nil {
		return err.Error()
	}
	if wanted := uint64(streams/streamsPerConnection + spareFiles); wanted > files {
		return fmt.Sprintf("they need %d open files, and %d are allowed (ulimit -n)", wanted, files)
	}
	memory, err := systemProc.available()
	if err != nil {
		return err.Error()
	}
	if wanted := uint64(streams) * bytesPerStream; wanted > memory {
		return fmt.Sprintf("they need about %s of memory, and %s is available", bytesText(float64(wanted)), bytesText(float64(memory)))
	}
	return ""
}

func (r *run) growthPoint(ctx context.Context, streams int) (p GrowthPoint, err error) {
	p.Streams = streams
	stage, done, err := r.stage(ctx)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, done()) }()
	s, reloads, err := stage.theatre.buildWithIngresses(stage.ctx)
	if err != nil {
		return p, err
	}
	defer reloads.client.Close()
	before, err := systemProc.usage(s.pid("relay"))
	if err != nil {
		return p, err
	}
	f, err := connect(stage.ctx, order{target: s, streams: streams, size: goalSize, inflight: 1, patience: r.cfg.Patience})
	if err != nil {
		return p, err
	}
	f.saturate()
	if err := r.growthMeasure(f, reloads, &p); err != nil {
		f.close()
		return p, f.explain(err)
	}
	p.CPU = p.Window.CPU["relay"] // Seconds for a million are microseconds for one.
	p.RSS = max(p.Window.RSS["relay"]-float64(before.rss), 0) / float64(streams)
	return p, f.finish()
}

// growthMeasure measures the load, and then how long it takes to move all connections while it runs on.
func (r *run) growthMeasure(f *fleet, reloads *reloads, p *GrowthPoint) (err error) {
	if err := pause(f.ctx, r.cfg.Warmup); err != nil {
		return err
	}
	if p.Window, err = f.window(r.cfg.Duration); err != nil {
		return err
	}
	// The first reload brings all of them together on the other ingress; the second one is measured, unless even
	// the first came to no end.
	for range 2 {
		done, err := reloads.reload(f.ctx)
		if err != nil {
			return err
		}
		p.Moved, p.MoveSeconds, p.Unmoved = done.moved, done.within.Seconds(), done.left
		if done.left != "" {
			break
		}
	}
	return nil
}
