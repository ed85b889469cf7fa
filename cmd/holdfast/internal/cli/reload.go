package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/output"
	"github.com/holdfast/holdfast/cmd/holdfast/internal/progress"
)

// exitNotSafe is the exit code of a reload that ended and is not safe.
const exitNotSafe = 2

type reloadCommand struct {
	Ingress  string        `arg:"" help:"The value of x-ingress-id."`
	Wait     time.Duration `default:"30s" help:"For how long to wait for what cannot be moved at once."`
	Deadline time.Duration `default:"10m" help:"After this time the ingress returns to service by itself."`
}

// Help is shown by --help.
func (reloadCommand) Help() string {
	return `The relay takes the ingress out of service, moves the logical connections off it that it can, and asks the resumable clients that came in through it to come another way. The exit code is 0 when it is safe to reload then, 2 when it is not.

Example:
  holdfast reload ingress-a --wait 10s && nginx -s reload && holdfast complete ingress-a`
}

// Run runs the command.
func (c *reloadCommand) Run(ctx context.Context, e *environment) error {
	client, err := e.dial()
	if err != nil {
		return err
	}
	defer client.Close()
	stream, err := client.ReloadIngress(ctx, &holdfastv1.ReloadIngressRequest{
		Ingress: c.Ingress, Wait: durationpb.New(c.Wait), Deadline: durationpb.New(c.Deadline),
	})
	if err != nil {
		return client.Explain(err)
	}
	var shower progress.Shower
	defer func() {
		if shower != nil {
			shower.End()
		}
	}()
	for {
		p, err := stream.Recv()
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("interrupted; ingress %s may stay out of service: see holdfast list ingresses, and holdfast cancel %[1]s", c.Ingress)
		case errors.Is(err, io.EOF):
			return fmt.Errorf("ingress %s: the relay ended the answer too early", c.Ingress)
		case err != nil:
			return client.Explain(err)
		}
		if shower == nil { // An error before this leaves no empty bar.
			shower = c.shower(e)
		}
		if err := shower.Show(p); err != nil {
			return err
		}
		if p.GetDone() {
			shower.End()
			return c.conclude(e, p)
		}
	}
}

func (c *reloadCommand) shower(e *environment) progress.Shower {
	switch {
	case e.json:
		return progress.NewJSON(e.out)
	case e.terminal:
		return progress.NewBar(e.out, c.Ingress)
	}
	return progress.NewLines(e.out)
}

func (c *reloadCommand) conclude(e *environment, p *holdfastv1.ReloadIngressResponse) error {
	if !e.json {
		if _, err := io.WriteString(e.out, progress.Summary(p)); err != nil {
			return err
		}
	}
	if !p.GetSafeToReload() {
		return &exitError{exitNotSafe, fmt.Sprintf("ingress %s: a reload would cut connections that could not be moved", c.Ingress)}
	}
	return nil
}

type completeCommand struct {
	Ingress string `arg:"" help:"The value of x-ingress-id."`
}

// Help is shown by --help.
func (completeCommand) Help() string { return "Example:\n  holdfast complete ingress-a" }

// Run runs the command.
func (c *completeCommand) Run(ctx context.Context, e *environment) error {
	client, err := e.dial()
	if err != nil {
		return err
	}
	defer client.Close()
	response, err := client.CompleteReload(ctx, &holdfastv1.CompleteReloadRequest{Ingress: c.Ingress})
	if err != nil {
		return client.Explain(err)
	}
	if e.json {
		return output.Message(e.out, response)
	}
	fmt.Fprintf(e.out, "ingress %s: in service\n", c.Ingress)
	return nil
}

type cancelCommand struct {
	Ingress string `arg:"" help:"The value of x-ingress-id."`
}

// Help is shown by --help.
func (cancelCommand) Help() string { return "Example:\n  holdfast cancel ingress-a" }

// Run runs the command.
func (c *cancelCommand) Run(ctx context.Context, e *environment) error {
	client, err := e.dial()
	if err != nil {
		return err
	}
	defer client.Close()
	response, err := client.CancelReload(ctx, &holdfastv1.CancelReloadRequest{Ingress: c.Ingress})
	if err != nil {
		return client.Explain(err)
	}
	if e.json {
		return output.Message(e.out, response)
	}
	fmt.Fprintf(e.out, "ingress %s: in service, not reloaded\n", c.Ingress)
	return nil
}
