package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/admin"
	"github.com/holdfast/holdfast/cmd/holdfast/internal/stats"
)

// Moves is what moving connections costs while messages flow.
type Moves struct {
	Streams int    `json:"streams"`
	Before  Window `json:"before"`
	During  Window `json:"during"`
	// Ratio is the throughput during the moves by that before.
	Ratio   float64 `json:"throughput_ratio"`
	Reloads int     `json:"reloads"`
	Moved   uint64  `json:"moved"`
	// Unfinished is the number of reloads that could not move everything in time.
	Unfinished int `json:"unfinished_reloads,omitempty"`
	// PauseP50 and PauseP99 are microseconds for which the app server held the outgoing traffic of a connection.
	PauseP50 float64 `json:"pause_p50_us"`
	PauseP99 float64 `json:"pause_p99_us"`
	Pauses   int     `json:"pauses"`
	// Missed is the number of events that the relay did not tell because the watcher fell behind.
	Missed uint64 `json:"events_missed"`
}

// migration measures the throughput while connections are moved all the time.
func (r *run) migration(ctx context.Context) error {
	result, err := r.moves(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		r.fail(fmt.Errorf("migration: %w", err))
		return nil
	}
	r.result.Migration = result
	r.say("migration: %.0f messages/s before, %.0f during %d moves in %d reloads; p99 pause %s", result.Before.PerSecond,
		result.During.PerSecond, result.Moved, result.Reloads, microsecondsText(result.PauseP99))
	return nil
}

func (r *run) moves(ctx context.Context) (result *Moves, err error) {
	stage, done, err := r.stage(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, done()) }()
	s, reloads, err := stage.theatre.buildWithIngresses(stage.ctx)
	if err != nil {
		return nil, err
	}
	defer reloads.client.Close()
	f, err := connect(stage.ctx, order{target: s, streams: r.cfg.MigrationStreams, size: goalSize, inflight: 1, patience: r.cfg.Patience})
	if err != nil {
		return nil, err
	}
	f.saturate()
	result = &Moves{Streams: r.cfg.MigrationStreams}
	if err := r.moveAbout(f, reloads, result); err != nil {
		f.close()
		return nil, f.explain(err)
	}
	return result, f.finish()
}

// moveAbout measures before and during the moves.
func (r *run) moveAbout(f *fleet, reloads *reloads, result *Moves) (err error) {
	if err := pause(f.ctx, r.cfg.Warmup); err != nil {
		return err
	}
	if result.Before, err = f.window(r.cfg.MigrationDuration); err != nil {
		return err
	}
	watch, err := reloads.watch(f.ctx)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	moving, stop := context.WithCancel(f.ctx)
	defer stop()
	go func() { ended <- reloads.repeat(moving, result) }()
	result.During, err = f.window(r.cfg.MigrationDuration)
	stop()
	if err = errors.Join(err, <-ended); err != nil {
		return errors.Join(err, watch.stop())
	}
	if err := watch.stop(); err != nil {
		return err
	}
	result.Ratio, _ = ratio(result.During.PerSecond, result.Before.PerSecond)
	result.Missed, result.Pauses = watch.missed, len(watch.pauses)
	result.PauseP50 = microseconds(stats.Percentile(watch.pauses, 0.5))
	result.PauseP99 = microseconds(stats.Percentile(watch.pauses, 0.99))
	return nil
}

// buildWithIngresses starts a relay and an app server that is attached through two ingresses. Clients go to the
// relay directly, so that a reload concerns none of them.
func (t *theatre) buildWithIngresses(ctx context.Context) (*subject, *reloads, error) {
	s := &subject{name: Holdfast, dial: dialPlain}
	addresses, err := t.relay(s, 2)
	if err != nil {
		return nil, nil, err
	}
	relays := addresses[2:4]
	for i, address := range relays {
		err := t.run(
			s, "ingress-"+ingresses[i], t.programs.own, "ingress", "--listen", address, "--upstream", s.address, "--id", ingresses[i],
		)
		if err != nil {
			return nil, nil, err
		}
	}
	if err := t.appServer(s, relays...); err != nil {
		return nil, nil, err
	}
	if err := ready(ctx, s); err != nil {
		return nil, nil, err
	}
	client, err := admin.Dial(admin.Target{Address: addresses[1]})
	if err != nil {
		return nil, nil, err
	}
	reloads := &reloads{client: client}
	if err := reloads.attached(ctx); err != nil {
		return nil, nil, errors.Join(err, client.Close())
	}
	return s, reloads, nil
}

// ingresses has the ids of the two ingresses.
var ingresses = []string{"a", "b"}

// reloads takes the ingresses out of service, in turn.
type reloads struct {
	client *admin.Client
	next   int
}

// attached waits until the app server has a server connection through each ingress.
func (m *reloads) attached(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("the app server had not attached through both ingresses within %s", readyTimeout))
	defer cancel()
	for {
		response, err := m.client.ListIngresses(ctx, &holdfastv1.ListIngressesRequest{})
		through := 0
		for _, in := range response.GetIngresses() {
			if in.GetServerConnections() > 0 {
				through++
			}
		}
		if err == nil && through == len(ingresses) {
			return nil
		}
		if err := pause(ctx, pollInterval); err != nil {
			return err
		}
	}
}

// repeat reloads one ingress after the other until ctx is done; what it began then it ends.
func (m *reloads) repeat(ctx context.Context, result *Moves) error {
	whole := context.WithoutCancel(ctx)
	for ctx.Err() == nil {
		done, err := m.reload(whole)
		if err != nil {
			return err
		}
		result.Reloads, result.Moved = result.Reloads+1, result.Moved+done.moved
		if done.left != "" {
			result.Unfinished++
		}
	}
	return nil
}

// reloadWait is for how long a reload waits for what cannot be moved at once.
const reloadWait = 2 * time.Minute

// evacuation is how a reload went.
type evacuation struct {
	moved  uint64
	within time.Duration
	// left says what could not be moved in time; empty when nothing was left.
	left string
}

// reload moves everything off the next ingress and returns that to service.
func (m *reloads) reload(ctx context.Context) (done evacuation, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*reloadWait)
	defer cancel()
	name := ingresses[m.next%len(ingresses)]
	m.next++
	begin := time.Now()
	stream, err := m.client.ReloadIngress(ctx, &holdfastv1.ReloadIngressRequest{Ingress: name, Wait: durationpb.New(reloadWait)})
	if err != nil {
		return done, m.client.Explain(err)
	}
	for {
		progress, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return done, fmt.Errorf("the relay ended the reload of ingress %s without a last word", name)
		}
		if err != nil {
			return done, m.client.Explain(err)
		}
		if !progress.GetDone() {
			continue
		}
		done = evacuation{moved: uint64(progress.GetMoved()), within: time.Since(begin)}
		if !progress.GetSafeToReload() {
			done.left = fmt.Sprintf("%d of %d were moved off ingress %s", progress.GetMoved(), progress.GetPlanned(), name)
		}
		break
	}
	_, err = m.client.CompleteReload(ctx, &holdfastv1.CompleteReloadRequest{Ingress: name})
	return done, m.client.Explain(err)
}
