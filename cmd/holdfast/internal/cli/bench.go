package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/bench"
	"github.com/holdfast/holdfast/cmd/holdfast/internal/output"
)

// The flags that --quick changes the default of have none here: a value that was given counts in either case.
type benchCommand struct {
	Only     []string `placeholder:"PART" help:"What to run: cells, idle, migration, slow, growth, clients, resume; everything by default."`
	Subjects []string `placeholder:"NAME" help:"What to measure in the cells: direct, nginx, haproxy, raw, holdfast, holdfast-batch; everything by default."`

	Sizes    []int          `placeholder:"BYTES" help:"Bytes of a message, 16 to 1048576 (64,1024; quick: 64)."`
	Streams  []int          `placeholder:"N" help:"Numbers of client streams, 1 to 50000 (1,100,1000,10000; quick: 1,100,1000)."`
	Rounds   *int           `placeholder:"N" help:"How often each cell is measured, 1 to 100 (3; quick: 1)."`
	Duration *time.Duration `placeholder:"D" help:"For how long a cell is measured (2s; quick: 300ms)."`
	Warmup   *time.Duration `placeholder:"D" help:"For how long a load runs before that (500ms; quick: 100ms)."`
	Inflight int            `default:"8" help:"Messages that each stream has under way at saturation, 1 to 1024."`

	IdleStreams      *int  `placeholder:"N" help:"Idle clients that share TCP connections (10000; quick: 1000)."`
	IdleAloneStreams *int  `placeholder:"N" help:"Idle clients with a TCP connection each (2000; quick: 200)."`
	IdleSockets      *int  `placeholder:"N" help:"Idle clients over WebSocket (10000; quick: 200)."`
	MigrationStreams *int  `placeholder:"N" help:"Connections that are moved (10000; quick: 500)."`
	GrowthStreams    []int `placeholder:"N" help:"Numbers of streams of the growth curve (100 to 50000; quick: 100,500)."`
	ClientStreams    []int `placeholder:"N" help:"Numbers of streams at which kinds of clients are compared (100,1000; quick: 100)."`
	ClientRounds     *int  `placeholder:"N" help:"How often they are compared, 1 to 100 (5; quick: 2)."`
	ResumeStreams    *int  `placeholder:"N" help:"Clients that resume when their relay is killed (10000; quick: 500)."`
	ResumeRounds     *int  `placeholder:"N" help:"How often it is killed, 1 to 100 (3; quick: 1)."`

	Quick bool   `help:"A short run that shows that everything works; its figures say little."`
	JSON  string `name:"json" type:"path" placeholder:"FILE" help:"Write the result as JSON there too."`
	Plots string `type:"path" placeholder:"DIR" help:"Write plots as SVG there."`
	Keep  bool   `help:"Keep what the processes write."`

	RelayBinary string `type:"path" placeholder:"FILE" help:"The relay; the one beside this program by default."`
}

// Help is shown by --help.
func (benchCommand) Help() string {
	return `Measures the relay beside what else could stand in its place, on this machine in one run: a bare gRPC server, nginx and HAProxy in front of one, and a raw TCP relay as the machine's limit. Every message is checked. The exit code is 0 when nothing was lost, doubled, reordered or corrupted, also when goals were missed. A full run takes half an hour; other work on the machine spoils the figures.

Example:
  holdfast bench --only cells --streams 100,1000 --json result.json --plots plots`
}

// Run runs the command.
func (c *benchCommand) Run(ctx context.Context, e *environment) error {
	lines := e.out
	if e.json {
		lines = e.errs
	}
	result, err := bench.Run(ctx, c.config(), lines)
	if errors.Is(err, context.Canceled) {
		return errors.New("interrupted; everything that was started was ended")
	}
	if err != nil {
		return err
	}
	if e.json {
		err = output.Value(e.out, result)
	} else {
		fmt.Fprintln(e.out)
		err = result.Write(e.out)
	}
	return errors.Join(err, c.keep(result), result.Err())
}

// config has the defaults and what the flags say beside them.
func (c *benchCommand) config() bench.Config {
	cfg := bench.Defaults()
	if c.Quick {
		cfg = bench.QuickDefaults()
	}
	list(&cfg.Only, c.Only)
	list(&cfg.Subjects, c.Subjects)
	list(&cfg.Sizes, c.Sizes)
	list(&cfg.Streams, c.Streams)
	list(&cfg.GrowthStreams, c.GrowthStreams)
	list(&cfg.ClientStreams, c.ClientStreams)
	value(&cfg.Rounds, c.Rounds)
	value(&cfg.Duration, c.Duration)
	value(&cfg.Warmup, c.Warmup)
	value(&cfg.IdleShared, c.IdleStreams)
	value(&cfg.IdleAlone, c.IdleAloneStreams)
	value(&cfg.IdleSockets, c.IdleSockets)
	value(&cfg.MigrationStreams, c.MigrationStreams)
	value(&cfg.ClientRounds, c.ClientRounds)
	value(&cfg.ResumeStreams, c.ResumeStreams)
	value(&cfg.ResumeRounds, c.ResumeRounds)
	cfg.Inflight, cfg.Keep, cfg.Relay = c.Inflight, c.Keep, c.RelayBinary
	return cfg
}

func list[T any](to *[]T, given []T) {
	if given != nil {
		*to = given
	}
}

func value[T any](to, given *T) {
	if given != nil {
		*to = *given
	}
}

// keep writes the files that were asked for.
func (c *benchCommand) keep(result *bench.Result) error {
	var errs []error
	if c.JSON != "" {
		raw, err := json.MarshalIndent(result, "", "  ")
		if err == nil {
			err = os.WriteFile(c.JSON, append(raw, '\n'), 0o644)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("--json %s: %w", c.JSON, err))
		}
	}
	if c.Plots != "" {
		if err := result.WritePlots(c.Plots); err != nil {
			errs = append(errs, fmt.Errorf("--plots %s: %w", c.Plots, err))
		}
	}
	return errors.Join(errs...)
}

// benchPartCommand has the servers that the benchmark starts for itself.
type benchPartCommand struct {
	Echo     benchEcho     `cmd:"" help:"A bare gRPC echo server."`
	App      benchApp      `cmd:"" help:"A bare app server that echoes."`
	RawEcho  benchRawEcho  `cmd:"" help:"A raw TCP echo server."`
	RawRelay benchRawRelay `cmd:"" help:"A raw TCP relay."`
}

type benchEcho struct {
	Listen string `required:"" placeholder:"HOST:PORT" help:"Where to serve."`
}

// Run runs the command.
func (c *benchEcho) Run(ctx context.Context, _ *environment) error {
	return bench.ServeEcho(ctx, c.Listen)
}

type benchApp struct {
	Relays []string `required:"" placeholder:"HOST:PORT" help:"Where the relay is reached."`
}

// Run runs the command.
func (c *benchApp) Run(ctx context.Context, _ *environment) error {
	return bench.ServeApp(ctx, c.Relays)
}

type benchRawEcho struct {
	Listen string `required:"" placeholder:"HOST:PORT" help:"Where to serve."`
}

// Run runs the command.
func (c *benchRawEcho) Run(ctx context.Context, _ *environment) error {
	return bench.ServeRawEcho(ctx, c.Listen)
}

type benchRawRelay struct {
	Listen   string `required:"" placeholder:"HOST:PORT" help:"Where to serve."`
	Upstream string `required:"" placeholder:"HOST:PORT" help:"The raw echo server."`
}

// Run runs the command.
func (c *benchRawRelay) Run(ctx context.Context, _ *environment) error {
	return bench.ServeRawRelay(ctx, c.Listen, c.Upstream)
}
