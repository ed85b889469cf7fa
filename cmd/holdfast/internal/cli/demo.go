package cli

import (
	"context"
	"errors"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/demo"
	"github.com/holdfast/holdfast/cmd/holdfast/internal/output"
)

type demoCommand struct {
	Ingress       string        `default:"embedded" enum:"embedded,nginx" help:"embedded, or nginx where that is installed."`
	Announce      string        `default:"all" enum:"all,half,none" help:"Which reloads are announced to the relay; for the others the GOAWAY of the ingress has to do."`
	Reloads       int           `default:"2" help:"The number of reloads, a and b in turn."`
	Restart       bool          `default:"true" negatable:"" help:"Restart a relay after the reloads."`
	Clients       int           `default:"100" help:"The number of plain clients, half through each ingress."`
	Resumable     int           `default:"100" help:"The number of resumable clients, which move by themselves."`
	Rate          float64       `default:"10" help:"Messages that each client sends in a second."`
	Size          int           `default:"64" help:"Bytes of each message."`
	CountInterval time.Duration `default:"100ms" help:"Interval of the application's counter."`
	Grace         time.Duration `default:"2s" help:"For how long a reloading ingress lets open streams run on."`
	Settle        time.Duration `default:"2s" help:"For how long traffic flows before the first reload and after each."`
	Keep          bool          `help:"Keep what the processes write."`
}

// Help is shown by --help.
func (demoCommand) Help() string {
	return `Starts two relays, two ingresses in front of both, two app servers and clients that check every message; reloads both ingresses in turn and restarts a relay under that traffic, and judges the result. The exit code is 0 when nothing was lost, doubled, reordered or corrupted, no plain client of the other ingress was disconnected at a reload, and no resumable client at all, and logical connections were moved.

Example:
  holdfast demo --ingress nginx --announce none`
}

// Run runs the command.
func (c *demoCommand) Run(ctx context.Context, e *environment) error {
	lines := e.out
	if e.json {
		lines = e.errs
	}
	result, err := demo.Run(ctx, demo.Config{
		Kind: c.Ingress, Announce: c.Announce, Reloads: c.Reloads, Restart: c.Restart, Clients: c.Clients, Resumable: c.Resumable, Rate: c.Rate, Size: c.Size,
		CountInterval: c.CountInterval, Grace: c.Grace, Settle: c.Settle, Keep: c.Keep,
	}, lines)
	if errors.Is(err, context.Canceled) {
		return errors.New("interrupted; everything that was started was ended")
	}
	if err != nil {
		return err
	}
	if e.json {
		err = output.Value(e.out, result)
	} else {
		err = result.Write(e.out)
	}
	return errors.Join(err, result.Err())
}
