package cli

import (
	"context"
	"fmt"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/output"
)

type logLevelCommand struct {
	Level string `arg:"" enum:"debug,info,warn,error" help:"debug, info, warn or error."`
}

// Help is shown by --help.
func (logLevelCommand) Help() string {
	return `The relay logs from this level on until it ends, or is told otherwise; --log-level of the relay is where it starts.

Example:
  holdfast log-level debug`
}

// Run runs the command.
func (c *logLevelCommand) Run(ctx context.Context, e *environment) error {
	client, err := e.dial()
	if err != nil {
		return err
	}
	defer client.Close()
	response, err := client.SetLogLevel(ctx, &holdfastv1.SetLogLevelRequest{Level: c.Level})
	if err != nil {
		return client.Explain(err)
	}
	if e.json {
		return output.Message(e.out, response)
	}
	fmt.Fprintf(e.out, "log level: %s, was %s\n", response.GetLevel(), response.GetPreviousLevel())
	return nil
}
