// Package config has the relay's settings: one struct with defaults, read from flags, the environment and a file.
package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/alecthomas/kong"

	"github.com/holdfast/holdfast/pkg/settings"
	"github.com/holdfast/holdfast/services/relay/internal/ingress"
)

// Config is what can be set. Every flag can be given as the environment variable HOLDFAST_ and its name in upper
// case with underscores, and by its name in a file. A flag goes before the environment, and that before the file.
type Config struct {
	settings.File     `embed:""`
	Listen            string        `default:"127.0.0.1:7400" help:"Address for clients and app servers, host:port."`
	AdminListen       string        `default:"127.0.0.1:7401" help:"Address for operators, host:port."`
	WebsocketListen   string        `help:"Address for clients over WebSocket, host:port; none when empty. With --tls-cert it speaks TLS."`
	WebsocketOrigins  []string      `help:"Hosts, as patterns such as *.example.com, whose pages may connect over WebSocket besides the relay's own, comma separated."`
	RelayID           string        `help:"Name of this relay; the host name when empty."`
	TrustedNetworks   []string      `default:"127.0.0.0/8,::1/128" help:"Networks in CIDR notation whose x-ingress-id and forwarded headers are believed, comma separated."`
	Applications      []string      `help:"Applications that are served, comma separated; any when empty."`
	WindowBytes       int           `default:"262144" help:"Window of each logical connection and direction in bytes, 1024 to 16777216."`
	MaxMessageBytes   int           `default:"1048576" help:"Largest payload of one message in bytes, 1 to 16777216."`
	HeartbeatInterval time.Duration `default:"15s" help:"Heartbeat interval of server connections, 100ms to 10m. Keep it under the shortest idle timeout of the ingresses."`
	MaxMovesInFlight  int           `default:"256" help:"How many handoffs may be open at once for each process of an app server, and how many resumes, 1 to 100000. More end an evacuation sooner, fewer keep each pause shorter."`
	MigrationTimeout  time.Duration `default:"5s" help:"For how long a move may go unanswered before the connection is resumed elsewhere, 10ms to 10m."`
	ParkTime          time.Duration `default:"30s" help:"For how long a connection waits for its app server when that has no server connection left, 0s to 1h."`
	SlowClientTimeout time.Duration `default:"30s" help:"After what time a client that takes none of the messages for it is closed, 100ms to 1h."`
	ReloadDeadline    time.Duration `default:"10m" help:"After what time an ingress under reload returns to service by itself, 1s to 24h."`
	ShutdownGrace     time.Duration `default:"10s" help:"For how long streams may take to end at shutdown, 0s to 10m."`
	Pprof             bool          `help:"Serve the profiles of the Go runtime on the admin listener, under /debug/pprof/."`
	ReadOnlyConsole   bool          `help:"Offer no action in the console on the admin listener: it shows, and reloads, moves and closes nothing."`
	LogFormat         string        `default:"text" help:"Form of log lines: text or json." enum:"text,json"`
	LogLevel          slog.Level    `default:"info" help:"Least level that is logged: debug, info, warn or error."`
	Security          `embed:""`
	Limits            `embed:""`
	Resume            `embed:""`

	networks, vouching []netip.Prefix
	level              *slog.LevelVar
}

// Parse reads the settings of the command. With --print-config it writes them to out and returns nil.
func Parse(args []string, out io.Writer, options ...kong.Option) (*Config, error) {
	var cfg Config
	parser, err := kong.New(&cfg, append(settings.Options(), options...)...)
	if err != nil {
		return nil, err
	}
	if _, err := parser.Parse(args); err != nil {
		return nil, fmt.Errorf("%w (see %s --help)", err, parser.Model.Name)
	}
	if cfg.PrintConfig {
		return nil, settings.Print(parser.Model, out)
	}
	return &cfg, nil
}

// Validate checks every setting; kong calls it after reading them.
func (c *Config) Validate() error {
	for name, addr := range map[string]string{"listen": c.Listen, "admin-listen": c.AdminListen, "websocket-listen": c.WebsocketListen} {
		if addr == "" && name == "websocket-listen" {
			continue
		}
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return fmt.Errorf("--%s=%q: want host:port: %w", name, addr, err)
		}
	}
	var err error
	if c.networks, err = ingress.ParseNetworks(c.TrustedNetworks); err != nil {
		return fmt.Errorf("--trusted-networks: %w", err)
	}
	if c.vouching, err = ingress.ParseNetworks(c.IdentityNetworks); err != nil {
		return fmt.Errorf("--identity-networks: %w", err)
	}
	if err := checkRanges(
		number("window-bytes", c.WindowBytes, 1<<10, 16<<20),
		number("max-message-bytes", c.MaxMessageBytes, 1, 16<<20),
		number("max-moves-in-flight", c.MaxMovesInFlight, 1, 100_000),
		duration("heartbeat-interval", c.HeartbeatInterval, 100*time.Millisecond, 10*time.Minute),
		duration("migration-timeout", c.MigrationTimeout, 10*time.Millisecond, 10*time.Minute),
		duration("park-time", c.ParkTime, 0, time.Hour),
		duration("slow-client-timeout", c.SlowClientTimeout, 100*time.Millisecond, time.Hour),
		duration("reload-deadline", c.ReloadDeadline, time.Second, 24*time.Hour),
		duration("shutdown-grace", c.ShutdownGrace, 0, 10*time.Minute),
	); err != nil {
		return err
	}
	if c.RelayID == "" {
		if c.RelayID, err = os.Hostname(); err != nil {
			return fmt.Errorf("--relay-id is empty and the host has no name: %w", err)
		}
	}
	if err := errors.Join(c.Limits.check(), c.Resume.check()); err != nil {
		return err
	}
	return c.Security.check(c.Listen, c.WebsocketListen, c.AdminListen)
}

// Networks returns the trusted networks. Validate must have been called.
func (c *Config) Networks() []netip.Prefix { return c.networks }

// Vouching returns the networks whose word for an identity is taken. Validate must have been called.
func (c *Config) Vouching() []netip.Prefix { return c.vouching }

// Level is the least level that the Logger logs. It begins as what the settings say, and can be changed at any time. The first
// call of Level or Logger must not be concurrent with another.
func (c *Config) Level() *slog.LevelVar {
	if c.level == nil {
		c.level = &slog.LevelVar{}
		c.level.Set(c.LogLevel)
	}
	return c.level
}

// Logger returns the logger for the settings, writing to standard error.
func (c *Config) Logger() *slog.Logger {
	options := &slog.HandlerOptions{Level: c.Level()}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, options))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, options))
}
