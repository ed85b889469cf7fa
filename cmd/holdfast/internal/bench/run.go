// Package bench measures the relay beside what else could stand in its place, on one machine in one run: a bare
// gRPC server, real ingresses in front of one, and a raw TCP relay as the machine's limit. Every message of every
// load is checked.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// run is one run of the benchmark.
type run struct {
	cfg      *Config
	programs programs
	dir      string // for what the processes write
	lines    io.Writer
	result   *Result
	stages   int
}

// Run measures what the configuration asks for and tells on lines how it goes. It leaves no process and no file
// behind, unless the configuration keeps them. An error of the result says that messages did not come back as
// they should; the error returned here that there is no result.
func Run(ctx context.Context, cfg Config, lines io.Writer) (result *Result, err error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	if runtime.GOOS != "linux" {
		return nil, fmt.Errorf("the benchmark reads /proc and runs on Linux, not on %s", runtime.GOOS)
	}
	found, err := findPrograms(&cfg)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "holdfast-bench-")
	if err != nil {
		return nil, fmt.Errorf("temporary folder: %w", err)
	}
	if cfg.Keep {
		fmt.Fprintf(lines, "what the processes write is in %s\n", dir)
	} else {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	began := time.Now()
	r := &run{
		cfg: &cfg, programs: found, dir: dir, lines: lines,
		result: &Result{Versions: versions(ctx), Config: cfg, Began: began, Skipped: map[string]string{}},
	}
	if err := r.parts(ctx); err != nil {
		return nil, err
	}
	r.result.Seconds = time.Since(began).Seconds()
	r.result.Goals = judge(r.result)
	return r.result, nil
}

// parts runs the parts that were chosen, one after the other.
func (r *run) parts(ctx context.Context) error {
	for _, part := range []struct {
		name string
		run  func(context.Context) error
	}{{Cells, r.cells}, {Idle, r.idle}, {Migration, r.migration}, {Slow, r.slow}, {Growth, r.growth}, {Clients, r.clients}, {Resume, r.resume}} {
		if !r.cfg.has(part.name) {
			continue
		}
		if err := part.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

func (r *run) say(format string, values ...any) {
	fmt.Fprintf(r.lines, "%7.1fs  %s\n", time.Since(r.result.Began).Seconds(), fmt.Sprintf(format, values...))
}

func (r *run) skip(subject, why string) {
	if _, said := r.result.Skipped[subject]; !said {
		r.result.Skipped[subject] = why
		r.say("SKIPPED: %s: %s", subject, why)
	}
}

// fail notes that something did not come back as it should. The run goes on.
func (r *run) fail(err error) {
	r.result.Failures = append(r.result.Failures, err.Error())
	r.say("FAILED: %v", err)
}

// stage is a theatre whose processes are watched: ctx is done when one of them ends by itself.
type stage struct {
	ctx     context.Context
	theatre *theatre
}

// stage opens an empty stage; done ends what was started there.
func (r *run) stage(ctx context.Context) (*stage, func() error, error) {
	r.stages++
	dir := filepath.Join(r.dir, fmt.Sprint(r.stages))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, nil, fmt.Errorf("folder for logs: %w", err)
	}
	ctx, lost := context.WithCancelCause(ctx)
	s := &stage{ctx, newTheatre(r.programs, dir, lost)}
	return s, func() error {
		defer lost(nil)
		return s.theatre.stop()
	}, nil
}
