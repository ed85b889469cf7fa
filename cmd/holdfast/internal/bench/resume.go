package bench

import (
	"context"
	crand "crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/process"
)

// Resumes is how resumable clients come back when the relay that has them is killed.
type Resumes struct {
	Streams int `json:"streams"`
	// PerConnection is how many streams share a TCP connection.
	PerConnection int           `json:"streams_per_connection"`
	Rounds        []ResumeRound `json:"rounds"`
	// Median has the median of each figure by itself.
	Median ResumeRound `json:"median"`
}

// ResumeRound is one kill. Times are seconds on the clock of the clients.
type ResumeRound struct {
	// Welcomed is from just before the relay is sent SIGKILL until the last client had its Welcome with recovered from the other
	// relay; Asked is until then from just before the first client asked that for it.
	Welcomed float64 `json:"kill_to_last_welcome_seconds"`
	Asked    float64 `json:"first_hello_to_last_welcome_seconds"`
	// Echoed is from the kill until the last client had the echo of all that it ever sent, of which the last message was sent after its
	// Welcome.
	Echoed float64 `json:"kill_to_last_echo_seconds"`
	// Resent is how many messages the app server had not received, and Replayed how many echoes the clients had not.
	Resent   float64 `json:"resent"`
	Replayed float64 `json:"replayed"`
	// CPU has seconds from the kill to the last echo, by process: of the relay that took them, the app server and the clients.
	CPU map[string]float64 `json:"cpu_seconds"`
}

// resume measures how long clients take to come back at another relay.
func (r *run) resume(ctx context.Context) error {
	result := &Resumes{Streams: r.cfg.ResumeStreams, PerConnection: streamsPerConnection}
	for range r.cfg.ResumeRounds {
		round, err := r.resumeRound(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			r.fail(fmt.Errorf("resume: %w", err))
			return nil
		}
		result.Rounds = append(result.Rounds, round)
		r.say("resume: relay killed, %d clients had resumed at the other %.3f s after, %.3f s after the first asked; all echoes %.3f s after",
			result.Streams, round.Welcomed, round.Asked, round.Echoed)
	}
	result.settle()
	r.result.Resume = result
	return nil
}

// settle computes the medians.
func (r *Resumes) settle() {
	of := func(get func(ResumeRound) float64) float64 {
		var values []float64
		for _, round := range r.Rounds {
			values = append(values, get(round))
		}
		return median(values)
	}
	r.Median = ResumeRound{
		Welcomed: of(func(r ResumeRound) float64 { return r.Welcomed }), Asked: of(func(r ResumeRound) float64 { return r.Asked }),
		Echoed: of(func(r ResumeRound) float64 { return r.Echoed }), Resent: of(func(r ResumeRound) float64 { return r.Resent }),
		Replayed: of(func(r ResumeRound) float64 { return r.Replayed }), CPU: map[string]float64{},
	}
	for name := range r.Rounds[0].CPU {
		r.Median.CPU[name] = of(func(r ResumeRound) float64 { return r.CPU[name] })
	}
}

// resumeRound kills a relay once.
func (r *run) resumeRound(ctx context.Context) (round ResumeRound, err error) {
	stage, done, err := r.stage(ctx)
	if err != nil {
		return round, err
	}
	defer func() { err = errors.Join(err, done()) }()
	from, to, victim, err := stage.theatre.buildRelays(stage.ctx)
	if err != nil {
		return round, err
	}
	f, err := connect(stage.ctx, order{target: from, streams: r.cfg.ResumeStreams, size: goalSize, inflight: 1, patience: r.cfg.Patience})
	if err != nil {
		return round, err
	}
	late := time.AfterFunc(r.cfg.Patience, func() {
		f.cancel(fmt.Errorf("%w: not all clients had resumed and got their echoes within %s", errMissing, r.cfg.Patience))
	})
	defer late.Stop()
	c := newComeback(f, to)
	before, err := c.cpu()
	if err == nil {
		round, err = c.run(victim.Kill)
	}
	if err != nil {
		f.close()
		return round, f.explain(err)
	}
	after, err := c.cpu()
	round.CPU = map[string]float64{}
	for name := range after {
		round.CPU[name] = (after[name] - before[name]).Seconds()
	}
	return round, errors.Join(err, c.leave())
}

// buildRelays starts two relays with the same keys, and an app server that is attached to both. The first relay's process is returned.
func (t *theatre) buildRelays(ctx context.Context) (from, to *subject, victim *process.Process, err error) {
	addresses, err := process.FreeAddresses(4)
	if err != nil {
		return nil, nil, nil, err
	}
	keys := filepath.Join(t.dir, "resume-keys")
	key := make([]byte, 32)
	_, _ = crand.Read(key) // Never fails.
	if err := os.WriteFile(keys, []byte(base64.StdEncoding.EncodeToString(key)+"\n"), 0o600); err != nil {
		return nil, nil, nil, fmt.Errorf("keys of the relays: %w", err)
	}
	from = &subject{name: "the first relay", address: addresses[0], dial: dialResumable}
	to = &subject{name: "the other relay", address: addresses[2], dial: dialResumable}
	if victim, err = t.relayAt(from, addresses[:2], "--relay-id=first", "--resume-key-file", keys); err != nil {
		return nil, nil, nil, err
	}
	if _, err = t.relayAt(to, addresses[2:], "--relay-id=other", "--resume-key-file", keys); err == nil {
		err = t.appServer(to, from.address, to.address)
	}
	for _, s := range []*subject{from, to} {
		if err == nil {
			err = ready(ctx, s)
		}
	}
	return from, to, victim, err
}
