package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// SlowReader is what one client that reads nothing costs the others.
type SlowReader struct {
	Streams int `json:"streams"`
	// With and Without are the medians of the throughput beside such a client and without it, in messages a second.
	With          float64   `json:"messages_per_second_with"`
	Without       float64   `json:"messages_per_second_without"`
	WithRounds    []float64 `json:"with_rounds"`
	WithoutRounds []float64 `json:"without_rounds"`
	Ratio         float64   `json:"ratio"`
}

// slow measures the throughput with and without a client that reads nothing.
func (r *run) slow(ctx context.Context) error {
	result, err := r.slowReader(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		r.fail(fmt.Errorf("slow: %w", err))
		return nil
	}
	r.result.Slow = result
	r.say("slow: %.0f messages/s without and %.0f beside a client that reads nothing", result.Without, result.With)
	return nil
}

func (r *run) slowReader(ctx context.Context) (result *SlowReader, err error) {
	stage, done, err := r.stage(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, done()) }()
	s, err := stage.theatre.build(stage.ctx, Holdfast)
	if err != nil {
		return nil, err
	}
	f, err := connect(stage.ctx, order{
		target: s, streams: r.cfg.SlowStreams, size: goalSize, inflight: r.cfg.Inflight, patience: r.cfg.Patience,
	})
	if err != nil {
		return nil, err
	}
	f.saturate()
	result = &SlowReader{Streams: r.cfg.SlowStreams}
	if err := r.slowRounds(f, result); err != nil {
		f.close()
		return nil, err
	}
	result.With, result.Without = median(result.WithRounds), median(result.WithoutRounds)
	result.Ratio, _ = ratio(result.With, result.Without)
	return result, f.finish()
}

// slowRounds measures in turn without and with the client; which one comes first changes from round to round.
func (r *run) slowRounds(f *fleet, result *SlowReader) error {
	if err := pause(f.ctx, r.cfg.Warmup); err != nil {
		return err
	}
	for round := range r.cfg.SlowRounds {
		for turn := range 2 {
			with := (round+turn)%2 == 1
			w, err := r.slowWindow(f, with)
			if err != nil {
				return err
			}
			if with {
				result.WithRounds = append(result.WithRounds, w.PerSecond)
			} else {
				result.WithoutRounds = append(result.WithoutRounds, w.PerSecond)
			}
		}
	}
	return nil
}

func (r *run) slowWindow(f *fleet, with bool) (Window, error) {
	if !with {
		return f.window(r.cfg.SlowDuration)
	}
	stop, err := stuff(f.ctx, f.order.target.address)
	if err != nil {
		return Window{}, err
	}
	defer stop()
	return f.window(r.cfg.SlowDuration)
}

// stuff connects a client that sends until nothing more is taken and reads nothing. It returns when that client is
// stuck; stop ends it.
func stuff(ctx context.Context, address string) (stop func(), err error) {
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var sending sync.WaitGroup
	stop = func() {
		cancel()
		sending.Wait()
		_ = conn.Close()
	}
	stream, err := holdfastv1.NewClientConnectionServiceClient(conn).Connect(ctx)
	if err != nil {
		stop()
		return nil, err
	}
	var sent atomic.Uint64
	sending.Go(func() {
		message := &holdfastv1.ConnectRequest{Content: &holdfastv1.ConnectRequest_Binary{Binary: make([]byte, goalSize)}}
		for stream.Send(message) == nil {
			sent.Add(1)
		}
	})
	if err := stuck(ctx, &sent); err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}

// stuck waits until the count has stood still for a while, but not at 0.
func stuck(ctx context.Context, count *atomic.Uint64) error {
	const (
		still = 4 * pollInterval
		most  = 15 * time.Second
	)
	begin, last, since := time.Now(), uint64(0), time.Now()
	for time.Since(begin) < most {
		if err := pause(ctx, pollInterval); err != nil {
			return err
		}
		now := count.Load()
		if now != last {
			last, since = now, time.Now()
		}
		if last > 0 && time.Since(since) >= still {
			return nil
		}
	}
	return fmt.Errorf("a client that reads nothing could still send after %s: %d messages", most, count.Load())
}
