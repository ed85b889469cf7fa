package cli

import (
	"context"
	"fmt"
	"strconv"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/admin"
	"github.com/holdfast/holdfast/cmd/holdfast/internal/output"
)

// maxPage is the largest page that the relay gives.
const maxPage = 1000

type listCommand struct {
	Ingresses listIngresses `cmd:"" help:"List the ingresses that the relay has seen."`
	Servers   listServers   `cmd:"" help:"List the live server connections."`
	Clients   listClients   `cmd:"" help:"List the live logical connections."`
}

// Help is shown by --help.
func (listCommand) Help() string {
	return "Example:\n  holdfast list clients --server-ingress ingress-a"
}

type listIngresses struct{}

// Help is shown by --help.
func (listIngresses) Help() string { return "Example:\n  holdfast list ingresses" }

// Run runs the command.
func (c *listIngresses) Run(ctx context.Context, e *environment) error {
	client, err := e.dial()
	if err != nil {
		return err
	}
	defer client.Close()
	response, err := client.ListIngresses(ctx, &holdfastv1.ListIngressesRequest{})
	if err != nil {
		return client.Explain(err)
	}
	if e.json {
		return output.Message(e.out, response)
	}
	var rows [][]string
	for _, i := range response.GetIngresses() {
		state := "in service"
		if i.GetDraining() {
			state = "draining until " + output.Time(i.GetReturnsAt())
		}
		rows = append(rows, []string{
			i.GetName(), state, number(i.GetServerConnections()), number(i.GetClientConnections()), number(i.GetClientsAway()),
			number(i.GetLogicalConnections()),
		})
	}
	return output.Table(e.out, []string{
		"INGRESS", "STATE", "SERVER CONNECTIONS", "CLIENT CONNECTIONS", "AWAY", "LOGICAL CONNECTIONS",
	}, rows)
}

type listServers struct {
	Application string `help:"Only those of this application."`
	Ingress     string `help:"Only those that came in through this ingress."`
}

// Help is shown by --help.
func (listServers) Help() string { return "Example:\n  holdfast list servers --ingress ingress-a" }

// Run runs the command.
func (c *listServers) Run(ctx context.Context, e *environment) error {
	client, err := e.dial()
	if err != nil {
		return err
	}
	defer client.Close()
	response, err := client.ListServerConnections(ctx, &holdfastv1.ListServerConnectionsRequest{
		Application: c.Application, Ingress: c.Ingress,
	})
	if err != nil {
		return client.Explain(err)
	}
	if e.json {
		return output.Message(e.out, response)
	}
	var rows [][]string
	for _, s := range response.GetServerConnections() {
		state := "in service"
		if s.GetDraining() {
			state = "draining"
		}
		rows = append(rows, []string{
			s.GetServerConnectionId(), s.GetApplication(), s.GetServerId(), s.GetInstanceId(), s.GetIngress(), s.GetAddress(),
			state, number(s.GetLogicalConnections()), output.Time(s.GetAttachedAt()),
		})
	}
	return output.Table(e.out, []string{
		"SERVER CONNECTION", "APPLICATION", "APP SERVER", "INSTANCE", "INGRESS", "ADDRESS", "STATE", "LOGICAL CONNECTIONS", "SINCE",
	}, rows)
}

type listClients struct {
	Application   string `help:"Only those of this application."`
	ClientIngress string `help:"Only those whose client came in through this ingress."`
	ServerIngress string `help:"Only those whose server connection came in through this ingress."`
	Server        string `help:"Only those of the app server with this server id."`
	Limit         int    `default:"100" help:"At most so many."`
}

// Help is shown by --help.
func (listClients) Help() string {
	return "Example:\n  holdfast list clients --server-ingress ingress-a --limit 20"
}

// Run runs the command.
func (c *listClients) Run(ctx context.Context, e *environment) error {
	if c.Limit < 1 {
		return fmt.Errorf("--limit: %d is not allowed; 1 and more is", c.Limit)
	}
	client, err := e.dial()
	if err != nil {
		return err
	}
	defer client.Close()
	all, err := c.pages(ctx, client)
	if err != nil {
		return client.Explain(err)
	}
	if e.json {
		return output.Message(e.out, all)
	}
	return c.write(e, all)
}

// pages asks for one page after the other until there are no more, or enough.
func (c *listClients) pages(ctx context.Context, client holdfastv1.AdminServiceClient) (*holdfastv1.ListClientConnectionsResponse, error) {
	all := &holdfastv1.ListClientConnectionsResponse{}
	for {
		page, err := client.ListClientConnections(ctx, &holdfastv1.ListClientConnectionsRequest{
			PageSize: uint32(min(c.Limit-len(all.GetClientConnections()), maxPage)), PageToken: all.GetNextPageToken(),
			Application: c.Application, ClientIngress: c.ClientIngress, ServerIngress: c.ServerIngress, ServerId: c.Server,
		})
		if err != nil {
			return nil, err
		}
		all.ClientConnections = append(all.GetClientConnections(), page.GetClientConnections()...)
		all.NextPageToken, all.Total = page.GetNextPageToken(), page.GetTotal()
		if all.GetNextPageToken() == "" || len(all.GetClientConnections()) >= c.Limit {
			return all, nil
		}
	}
}

func (c *listClients) write(e *environment, all *holdfastv1.ListClientConnectionsResponse) error {
	var rows [][]string
	for _, l := range all.GetClientConnections() {
		rows = append(rows, []string{
			l.GetConnectionId(), l.GetApplication(), admin.StateWords(l.GetState()), l.GetEpoch(),
			admin.ClientWords(l), l.GetClientIngress(), l.GetClientAddress(),
			l.GetServerId(), l.GetServerConnectionId(), l.GetServerIngress(),
			number(l.GetMessagesReceived()), number(l.GetMessagesSent()), output.Time(l.GetConnectedAt()),
		})
	}
	err := output.Table(e.out, []string{
		"CONNECTION", "APPLICATION", "STATE", "EPOCH", "CLIENT", "CLIENT INGRESS", "CLIENT ADDRESS",
		"APP SERVER", "SERVER CONNECTION", "SERVER INGRESS", "RECEIVED", "SENT", "SINCE",
	}, rows)
	if err == nil && all.GetNextPageToken() != "" {
		_, err = fmt.Fprintf(e.out, "%d of %d shown; --limit %[2]d shows all\n", len(rows), all.GetTotal())
	}
	return err
}

func number[N uint32 | uint64](n N) string { return strconv.FormatUint(uint64(n), 10) }
