package config

import (
	"fmt"
	"log/slog"
	"time"
)

// table has for each setting the flag, values at both ends of what is allowed, and what it becomes.
var table = []struct {
	flag   string
	values []string
	get    func(*Config) any
	want   []any
	// with are other flags that the setting needs.
	with []string
}{
	{"listen", []string{"0.0.0.0:1", "[::1]:0", ":7400"}, func(c *Config) any { return c.Listen }, []any{"0.0.0.0:1", "[::1]:0", ":7400"}, insecure},
	{"admin-listen", []string{"localhost:2"}, func(c *Config) any { return c.AdminListen }, []any{"localhost:2"}, nil},
	{
		"websocket-listen",
		[]string{"0.0.0.0:1", ":0"},
		func(c *Config) any { return c.WebsocketListen },
		[]any{"0.0.0.0:1", ":0"},
		insecure,
	},
	{"websocket-origins", []string{"a", "a,*.b"}, func(c *Config) any { return fmt.Sprint(c.WebsocketOrigins) }, []any{"[a]", "[a *.b]"}, nil},
	{"relay-id", []string{"r-1"}, func(c *Config) any { return c.RelayID }, []any{"r-1"}, nil},
	{
		"trusted-networks",
		[]string{"10.0.0.0/8", "10.0.0.0/8,::/0"},
		func(c *Config) any { return fmt.Sprint(c.Networks()) },
		[]any{"[10.0.0.0/8]", "[10.0.0.0/8 ::/0]"},
		nil,
	},
	{"applications", []string{"a", "a,b"}, func(c *Config) any { return fmt.Sprint(c.Applications) }, []any{"[a]", "[a b]"}, nil},
	{"window-bytes", []string{"1024", "16777216"}, func(c *Config) any { return c.WindowBytes }, []any{1 << 10, 16 << 20}, nil},
	{"max-message-bytes", []string{"1", "16777216"}, func(c *Config) any { return c.MaxMessageBytes }, []any{1, 16 << 20}, nil},
	{"max-moves-in-flight", []string{"1", "100000"}, func(c *Config) any { return c.MaxMovesInFlight }, []any{1, 100000}, nil},
	{
		"heartbeat-interval",
		[]string{"100ms", "10m"},
		func(c *Config) any { return c.HeartbeatInterval },
		[]any{100 * time.Millisecond, 10 * time.Minute},
		nil,
	},
	{
		"migration-timeout",
		[]string{"10ms", "10m"},
		func(c *Config) any { return c.MigrationTimeout },
		[]any{10 * time.Millisecond, 10 * time.Minute},
		nil,
	},
	{"park-time", []string{"0s", "1h"}, func(c *Config) any { return c.ParkTime }, []any{time.Duration(0), time.Hour}, nil},
	{
		"slow-client-timeout",
		[]string{"100ms", "1h"},
		func(c *Config) any { return c.SlowClientTimeout },
		[]any{100 * time.Millisecond, time.Hour},
		nil,
	},
	{"reload-deadline", []string{"1s", "24h"}, func(c *Config) any { return c.ReloadDeadline }, []any{time.Second, 24 * time.Hour}, nil},
	{"shutdown-grace", []string{"0s", "10m"}, func(c *Config) any { return c.ShutdownGrace }, []any{time.Duration(0), 10 * time.Minute}, nil},
	{"pprof", []string{"true", "false"}, func(c *Config) any { return c.Pprof }, []any{true, false}, nil},
	{"read-only-console", []string{"true", "false"}, func(c *Config) any { return c.ReadOnlyConsole }, []any{true, false}, nil},
	{"log-format", []string{"text", "json"}, func(c *Config) any { return c.LogFormat }, []any{"text", "json"}, nil},
	{
		"log-level",
		[]string{"debug", "WARN", "error"},
		func(c *Config) any { return c.LogLevel },
		[]any{slog.LevelDebug, slog.LevelWarn, slog.LevelError},
		nil,
	},
	{"tls-cert", []string{"c"}, func(c *Config) any { return c.TLSCert }, []any{"c"}, []string{"--tls-key=k"}},
	{"tls-key", []string{"k"}, func(c *Config) any { return c.TLSKey }, []any{"k"}, []string{"--tls-cert=c"}},
	{"admin-tls-cert", []string{"c"}, func(c *Config) any { return c.AdminTLSCert }, []any{"c"}, []string{"--admin-tls-key=k"}},
	{"admin-tls-key", []string{"k"}, func(c *Config) any { return c.AdminTLSKey }, []any{"k"}, []string{"--admin-tls-cert=c"}},
	{"admin-token-file", []string{"t"}, func(c *Config) any { return c.AdminTokenFile }, []any{"t"}, nil},
	{
		"tls-refresh",
		[]string{"100ms", "24h"},
		func(c *Config) any { return c.TLSRefresh },
		[]any{100 * time.Millisecond, 24 * time.Hour},
		nil,
	},
	{"server-ca", []string{"ca"}, func(c *Config) any { return c.ServerCA }, []any{"ca"}, []string{"--identity-networks=10.0.0.0/8"}},
	{"server-identities", []string{"i"}, func(c *Config) any { return c.ServerIdentities }, []any{"i"}, []string{"--server-ca=ca", "--identity-networks=10.0.0.0/8"}},
	{"identity-networks", []string{"10.0.0.0/8", "10.0.0.0/8,::/0"}, func(c *Config) any { return fmt.Sprint(c.Vouching()) }, []any{"[10.0.0.0/8]", "[10.0.0.0/8 ::/0]"}, nil},
	{"jwt-jwks", []string{"j", "https://k/j"}, func(c *Config) any { return c.JWTJWKS }, []any{"j", "https://k/j"}, jwt},
	{"jwt-key", []string{"k"}, func(c *Config) any { return c.JWTKey }, []any{"k"}, jwt},
	{"jwt-issuer", []string{"i"}, func(c *Config) any { return c.JWTIssuer }, []any{"i"}, []string{"--jwt-key=k", "--jwt-audience=a"}},
	{"jwt-audience", []string{"a"}, func(c *Config) any { return c.JWTAudience }, []any{"a"}, []string{"--jwt-key=k", "--jwt-issuer=i"}},
	{"jwt-leeway", []string{"0s", "10m"}, func(c *Config) any { return c.JWTLeeway }, []any{time.Duration(0), 10 * time.Minute}, nil},
	{"resume-key-file", []string{"k"}, func(c *Config) any { return c.ResumeKeyFile }, []any{"k"}, nil},
	{
		"resume-time",
		[]string{"0s", "10m"},
		func(c *Config) any { return c.ResumeTime },
		[]any{time.Duration(0), 10 * time.Minute},
		[]string{"--resume-token-time=20m"},
	},
	{
		"resume-token-time",
		[]string{"10s", "24h"},
		func(c *Config) any { return c.ResumeTokenTime },
		[]any{10 * time.Second, 24 * time.Hour},
		[]string{"--resume-time=5s"},
	},
	{"reconnect-window", []string{"0s", "10m"}, func(c *Config) any { return c.ReconnectWindow }, []any{time.Duration(0), 10 * time.Minute}, nil},
	{"insecure", []string{"true", "false"}, func(c *Config) any { return c.Insecure }, []any{true, false}, nil},
	{"max-connections", []string{"0", "10000000"}, func(c *Config) any { return c.MaxConnections }, []any{0, 10_000_000}, nil},
	{"max-connections-per-address", []string{"0", "1"}, func(c *Config) any { return c.MaxConnectionsPerAddress }, []any{0, 1}, nil},
	{"max-connections-per-identity", []string{"0", "1"}, func(c *Config) any { return c.MaxConnectionsPerIdentity }, []any{0, 1}, nil},
	{"connection-rate", []string{"0", "1000000"}, func(c *Config) any { return c.ConnectionRate }, []any{0, 1_000_000}, nil},
	{"message-rate", []string{"0", "1000000"}, func(c *Config) any { return c.MessageRate }, []any{0, 1_000_000}, nil},
	{
		"handshake-timeout",
		[]string{"100ms", "10m"},
		func(c *Config) any { return c.HandshakeTimeout },
		[]any{100 * time.Millisecond, 10 * time.Minute},
		nil,
	},
	{"idle-timeout", []string{"0s", "24h"}, func(c *Config) any { return c.IdleTimeout }, []any{time.Duration(0), 24 * time.Hour}, nil},
	{
		"max-retained-bytes",
		[]string{"0", "1048576"},
		func(c *Config) any { return c.MaxRetainedBytes },
		[]any{int64(0), int64(1 << 20)},
		nil,
	},
	{"max-memory-bytes", []string{"0", "134217728"}, func(c *Config) any { return c.MaxMemoryBytes }, []any{int64(0), int64(128 << 20)}, nil},
}

var (
	insecure = []string{"--insecure"}
	jwt      = []string{"--jwt-issuer=i", "--jwt-audience=a"}
)
