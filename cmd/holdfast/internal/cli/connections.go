package cli

import (
	"context"
	"fmt"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/output"
)

type moveCommand struct {
	Connection string `arg:"" help:"The connection id, 16 hexadecimal digits."`
	To         string `placeholder:"SERVER-CONNECTION" help:"The target; left out, the relay chooses the least loaded one."`
}

// Help is shown by --help.
func (moveCommand) Help() string {
	return `Returns when the handoff is over. Ids are shown by holdfast list clients and holdfast list servers.

Example:
  holdfast move 00c0ffee00c0ffee`
}

// Run runs the command.
func (c *moveCommand) Run(ctx context.Context, e *environment) error {
	client, err := e.dial()
	if err != nil {
		return err
	}
	defer client.Close()
	response, err := client.MoveConnection(ctx, &holdfastv1.MoveConnectionRequest{
		ConnectionId: c.Connection, TargetServerConnectionId: c.To,
	})
	if err != nil {
		return client.Explain(err)
	}
	if e.json {
		return output.Message(e.out, response)
	}
	fmt.Fprintf(e.out, "connection %s: moved to server connection %s, paused for %s\n",
		c.Connection, response.GetServerConnectionId(), response.GetPause().AsDuration())
	return nil
}

type closeCommand struct {
	Connection string `arg:"" help:"The connection id, 16 hexadecimal digits."`
}

// Help is shown by --help.
func (closeCommand) Help() string {
	return `Both sides are told that an operator closed it. Ids are shown by holdfast list clients.

Example:
  holdfast close 00c0ffee00c0ffee`
}

// Run runs the command.
func (c *closeCommand) Run(ctx context.Context, e *environment) error {
	client, err := e.dial()
	if err != nil {
		return err
	}
	defer client.Close()
	response, err := client.CloseConnection(ctx, &holdfastv1.CloseConnectionRequest{ConnectionId: c.Connection})
	if err != nil {
		return client.Explain(err)
	}
	if e.json {
		return output.Message(e.out, response)
	}
	fmt.Fprintf(e.out, "connection %s: closing\n", c.Connection)
	return nil
}
