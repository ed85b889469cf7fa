package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/dial"
	"github.com/holdfast/holdfast/cmd/holdfast/internal/output"
	"github.com/holdfast/holdfast/cmd/holdfast/internal/traffic"
)

type trafficCommand struct {
	Addresses     []string      `required:"" placeholder:"HOST:PORT" help:"The ingresses; the clients are spread evenly over them."`
	Clients       int           `default:"200" help:"The number of clients."`
	Resumable     bool          `help:"Clients that move by themselves when the way that they came in goes, each between all of the addresses."`
	Application   string        `help:"The application to talk to; left out, the relay's default one."`
	Rate          float64       `default:"50" help:"Messages that each client sends in a second."`
	Size          int           `default:"64" help:"Bytes of each message."`
	CountInterval time.Duration `default:"20ms" help:"Interval of the application's counter; 0s leaves it out."`
	Duration      time.Duration `default:"0s" help:"For how long to run; 0s runs until SIGINT or SIGTERM."`
	Report        time.Duration `default:"5s" help:"Interval of the lines that say how it goes; 0s leaves them out."`
	StopGrace     time.Duration `default:"10s" help:"For how long the end waits for what is under way."`
	TLS           bool          `name:"tls" help:"Speak TLS, and believe what the system believes."`
	CA            string        `name:"ca" placeholder:"FILE" help:"Certificates, PEM, to believe instead; speaks TLS."`
	TokenFile     string        `placeholder:"FILE" help:"File with the token that every client shows."`
}

// Help is shown by --help.
func (trafficCommand) Help() string {
	return `Each client talks to the sample application and checks the order and the content of everything that comes back. The exit code is 0 when nothing was lost, doubled, reordered or corrupted. What was under way when a client was disconnected is counted apart.

Example:
  holdfast traffic --addresses 127.0.0.1:8080,127.0.0.1:8081 --duration 1m`
}

// Run runs the command.
func (c *trafficCommand) Run(ctx context.Context, e *environment) error {
	for flag, value := range map[string]time.Duration{"--duration": c.Duration, "--report": c.Report} {
		if value < 0 {
			return fmt.Errorf("%s: %s is not allowed; 0s and more is", flag, value)
		}
	}
	options, err := dial.Security{TLS: c.TLS, CA: c.CA, TokenFile: c.TokenFile}.Options(c.Addresses...)
	if err != nil {
		return err
	}
	fleet, err := traffic.New(traffic.Config{
		Addresses: c.Addresses, Clients: c.Clients, Resumable: c.Resumable, Application: c.Application, Rate: c.Rate, Size: c.Size,
		CountInterval: c.CountInterval, StopGrace: c.StopGrace, DialOptions: options,
	})
	if err != nil {
		return err
	}
	if c.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Duration)
		defer cancel()
	}
	lines := e.out
	if e.json {
		lines = e.errs
	}
	over := make(chan struct{})
	var reporting sync.WaitGroup
	if c.Report > 0 {
		reporting.Go(func() { reportEvery(c.Report, fleet, lines, over) })
	}
	report := fleet.Run(ctx)
	close(over)
	reporting.Wait()
	if e.json {
		err = output.Value(e.out, report)
	} else {
		err = report.Write(e.out)
	}
	return errors.Join(err, report.Err())
}

// reportEvery writes a line at each interval until over is closed.
func reportEvery(interval time.Duration, fleet *traffic.Fleet, w io.Writer, over <-chan struct{}) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	begin, before := time.Now(), traffic.Snapshot{}
	for {
		select {
		case <-over:
			return
		case <-tick.C:
		}
		now := fleet.Snapshot()
		perSecond := func(a, b uint64) float64 { return float64(a-b) / interval.Seconds() }
		disconnected := uint64(0)
		for _, n := range now.Disconnected {
			disconnected += n
		}
		fmt.Fprintf(w, "%s: %d connected, %.0f sent/s, %.0f received/s, %d disconnected, %s\n",
			time.Since(begin).Round(time.Second), now.Connected, perSecond(now.Sent, before.Sent),
			perSecond(now.Echoed+now.Counted, before.Echoed+before.Counted), disconnected, now.Faults())
		before = now
	}
}
