package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/admin"
	"github.com/holdfast/holdfast/cmd/holdfast/internal/output"
)

type watchCommand struct {
	NoConnections bool `help:"Leave out the events of single logical connections."`
}

// Help is shown by --help.
func (watchCommand) Help() string {
	return `One line for each event, until it is interrupted. With --output json each line is a JSON object.

Example:
  holdfast watch --no-connections`
}

// Run runs the command.
func (c *watchCommand) Run(ctx context.Context, e *environment) error {
	client, err := e.dial()
	if err != nil {
		return err
	}
	defer client.Close()
	stream, err := client.WatchEvents(ctx, &holdfastv1.WatchEventsRequest{NoConnections: c.NoConnections})
	if err != nil {
		return client.Explain(err)
	}
	for {
		event, err := stream.Recv()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, io.EOF):
			return errors.New("the relay ended the watch")
		case err != nil:
			return client.Explain(err)
		}
		if e.json {
			err = output.Message(e.out, event)
		} else {
			_, err = fmt.Fprintln(e.out, admin.EventLine(event))
		}
		if err != nil {
			return err
		}
	}
}
