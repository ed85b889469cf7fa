package cli

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/dial"
	"github.com/holdfast/holdfast/cmd/holdfast/internal/output"
)

type healthCommand struct {
	Address string        `required:"" placeholder:"HOST:PORT" help:"The gRPC server to ask."`
	Service string        `help:"The service to ask for; left out, the server as a whole."`
	Timeout time.Duration `default:"5s" help:"For how long to wait for the answer."`
	TLS     bool          `name:"tls" help:"Speak TLS, and believe what the system believes."`
	CA      string        `name:"ca" placeholder:"FILE" help:"Certificates, PEM, to believe instead; speaks TLS."`
}

// Help is shown by --help.
func (healthCommand) Help() string {
	return `Made for the health checks of containers: the exit code is 0 when the server is SERVING and 1 when it is not.

Example:
  holdfast health --address 127.0.0.1:7400`
}

// Run runs the command.
func (c *healthCommand) Run(ctx context.Context, e *environment) error {
	options, err := dial.Security{TLS: c.TLS, CA: c.CA}.Options()
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient(c.Address, options...)
	if err != nil {
		return fmt.Errorf("--address %s: %w", c.Address, err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	response, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: c.Service})
	if err != nil {
		st := status.Convert(err)
		return fmt.Errorf("%s: no health: %s (%s)", c.Address, st.Message(), st.Code())
	}
	if e.json {
		err = output.Message(e.out, response)
	} else {
		_, err = fmt.Fprintf(e.out, "%s: %s\n", c.Address, response.GetStatus())
	}
	if err == nil && response.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		err = fmt.Errorf("%s: %s", c.Address, response.GetStatus())
	}
	return err
}
