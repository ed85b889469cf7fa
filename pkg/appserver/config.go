// Package appserver is the library for applications behind a Holdfast relay. A Server keeps server connections
// to the relay through several ingresses and runs a Handler for each logical connection. When the relay moves a
// connection to another server connection, the handler does not notice.
package appserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/holdfast/holdfast/pkg/wire"
)

// Handler is the application.
type Handler interface {
	// ServeConnection serves one connection, in a goroutine of its own. Returning nil closes the connection
	// after everything that was sent; returning an error closes it with APPLICATION_ERROR and the error's
	// text, which the client sees. The context ends with a *CloseError as its cause when the connection
	// is lost, and when the server's grace is over. That the client has gone is said by Receive, after all that it
	// sent, and by Send.
	ServeConnection(ctx context.Context, c *Connection) error
}

// HandlerFunc is a function that is a Handler.
type HandlerFunc func(ctx context.Context, c *Connection) error

// ServeConnection calls f.
func (f HandlerFunc) ServeConnection(ctx context.Context, c *Connection) error { return f(ctx, c) }

// Config says what a Server is. Zero values mean the default.
type Config struct {
	// Relays are the addresses to keep server connections to: those of the ingresses, as gRPC targets. At
	// least one, or one of RelayNames. Two that lead through different ingresses are needed to survive the loss of one.
	Relays []string
	// RelayNames are names, HOST:PORT, each of whose addresses gets server connections, such as one for all relays that
	// there are. They are looked up at the start and every 15 s: an address that is new is dialled, and one that the name has no more
	// is not dialled again once its server connection has ended. A failed lookup changes nothing. Certificates are for the name.
	RelayNames []string
	// LookupHost returns the addresses of a host of RelayNames; those of the system by default.
	LookupHost func(ctx context.Context, host string) ([]string, error)
	// ConnectionsPerRelay is how many server connections to keep to each address; 1 by default, at most 16.
	ConnectionsPerRelay int
	// ServerID names the app server over restarts; the host name by default.
	ServerID string
	// InstanceID names this process; drawn at random by default.
	InstanceID string
	// Application names the application. Required.
	Application string
	// Handler is the application. Required.
	Handler Handler
	// DialOptions are added to each dial. They must have the transport credentials; with no options at all the
	// server connections are plaintext.
	DialOptions []grpc.DialOption
	// Logger takes what happens; slog.Default() by default.
	Logger *slog.Logger
	// MeterProvider takes the metrics; the global one by default.
	MeterProvider metric.MeterProvider
	// TracerProvider takes the traces of moves; the global one by default. A move is traced when the relay traces it.
	TracerProvider trace.TracerProvider
	// WindowBytes is the window that is wanted for each connection and direction; 0 leaves it to the relay.
	WindowBytes int
	// HeartbeatInterval is the interval that is wanted; 0 leaves it to the relay.
	HeartbeatInterval time.Duration
	// ParkTime is for how long a connection that has lost its server connections waits for the relay to take it up again,
	// beside the three heartbeat intervals that the relay may need to notice; 30 s by default. Give it at least the
	// relay's --park-time. A negative one means not at all.
	ParkTime time.Duration
	// ShutdownGrace is for how long connections may go on after Run's context has ended; 10 s by default. A
	// negative one means not at all.
	ShutdownGrace time.Duration
}

const (
	defaultParkTime      = 30 * time.Second
	defaultShutdownGrace = 10 * time.Second
	maxPerRelay          = 16
)

func (c Config) withDefaults() (Config, error) {
	switch {
	case len(c.Relays) == 0 && len(c.RelayNames) == 0:
		return c, errors.New("no relay address is configured; give at least one")
	case slices.Contains(c.Relays, ""):
		return c, fmt.Errorf("relay address %d of %d is empty", slices.Index(c.Relays, "")+1, len(c.Relays))
	case c.HeartbeatInterval < 0:
		return c, fmt.Errorf("heartbeat interval of %v; want 0 for the relay's, or more", c.HeartbeatInterval)
	case c.Application == "":
		return c, errors.New("the application has no name")
	case c.Handler == nil:
		return c, errors.New("there is no handler")
	case c.ConnectionsPerRelay < 0 || c.ConnectionsPerRelay > maxPerRelay:
		return c, fmt.Errorf("%d connections per relay; want 1 to %d", c.ConnectionsPerRelay, maxPerRelay)
	case c.WindowBytes < 0 || c.WindowBytes > 1<<30:
		return c, fmt.Errorf("window of %d bytes; want 0 to %d", c.WindowBytes, 1<<30)
	}
	for _, name := range c.RelayNames {
		if host, port, err := net.SplitHostPort(name); err != nil || host == "" || port == "" {
			return c, fmt.Errorf("relay name %q; want HOST:PORT", name)
		}
	}
	if c.LookupHost == nil {
		c.LookupHost = net.DefaultResolver.LookupHost
	}
	if c.ConnectionsPerRelay == 0 {
		c.ConnectionsPerRelay = 1
	}
	if c.InstanceID == "" {
		c.InstanceID = wire.FormatID(wire.NewID())
	}
	if len(c.DialOptions) == 0 {
		c.DialOptions = []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.MeterProvider == nil {
		c.MeterProvider = otel.GetMeterProvider()
	}
	if c.TracerProvider == nil {
		c.TracerProvider = otel.GetTracerProvider()
	}
	if c.ParkTime == 0 {
		c.ParkTime = defaultParkTime
	}
	if c.ShutdownGrace == 0 {
		c.ShutdownGrace = defaultShutdownGrace
	}
	if c.ServerID == "" {
		name, err := os.Hostname()
		if err != nil {
			return c, fmt.Errorf("no server id is configured and the host has no name: %w", err)
		}
		c.ServerID = name
	}
	return c, nil
}
