package config

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

// parse reads flags and the environment as the command does.
func parse(args ...string) (*Config, error) {
	var c Config
	parser, err := kong.New(&c, kong.Name("relay"), kong.DefaultEnvars("HOLDFAST"))
	if err != nil {
		return nil, err
	}
	_, err = parser.Parse(args)
	return &c, err
}

func TestDefaultsAreValid(t *testing.T) {
	c, err := parse()
	if err != nil {
		t.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Listen: "127.0.0.1:7400", AdminListen: "127.0.0.1:7401", RelayID: host,
		TrustedNetworks: []string{"127.0.0.0/8", "::1/128"},
		WindowBytes:     256 << 10, MaxMessageBytes: 1 << 20, HeartbeatInterval: 15 * time.Second, MaxMovesInFlight: 256,
		MigrationTimeout: 5 * time.Second, ParkTime: 30 * time.Second, SlowClientTimeout: 30 * time.Second,
		ReloadDeadline: 10 * time.Minute, ShutdownGrace: 10 * time.Second,
		LogFormat: "text", LogLevel: slog.LevelInfo,
		networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
	}
	if !reflect.DeepEqual(*c, want) {
		t.Errorf("got %+v,\nwant %+v", *c, want)
	}
}

// settings has for each setting the flag, values at both ends of what is allowed, and what it becomes.
var settings = []struct {
	flag   string
	values []string
	get    func(*Config) any
	want   []any
}{
	{"listen", []string{"0.0.0.0:1", "[::1]:0", ":7400"}, func(c *Config) any { return c.Listen }, []any{"0.0.0.0:1", "[::1]:0", ":7400"}},
	{"admin-listen", []string{"localhost:2"}, func(c *Config) any { return c.AdminListen }, []any{"localhost:2"}},
	{"relay-id", []string{"r-1"}, func(c *Config) any { return c.RelayID }, []any{"r-1"}},
	{
		"trusted-networks",
		[]string{"10.0.0.0/8", "10.0.0.0/8,::/0"},
		func(c *Config) any { return fmt.Sprint(c.Networks()) },
		[]any{"[10.0.0.0/8]", "[10.0.0.0/8 ::/0]"},
	},
	{"applications", []string{"a", "a,b"}, func(c *Config) any { return fmt.Sprint(c.Applications) }, []any{"[a]", "[a b]"}},
	{"window-bytes", []string{"1024", "16777216"}, func(c *Config) any { return c.WindowBytes }, []any{1 << 10, 16 << 20}},
	{"max-message-bytes", []string{"1", "16777216"}, func(c *Config) any { return c.MaxMessageBytes }, []any{1, 16 << 20}},
	{"max-moves-in-flight", []string{"1", "100000"}, func(c *Config) any { return c.MaxMovesInFlight }, []any{1, 100000}},
	{
		"heartbeat-interval",
		[]string{"100ms", "10m"},
		func(c *Config) any { return c.HeartbeatInterval },
		[]any{100 * time.Millisecond, 10 * time.Minute},
	},
	{
		"migration-timeout",
		[]string{"10ms", "10m"},
		func(c *Config) any { return c.MigrationTimeout },
		[]any{10 * time.Millisecond, 10 * time.Minute},
	},
	{"park-time", []string{"0s", "1h"}, func(c *Config) any { return c.ParkTime }, []any{time.Duration(0), time.Hour}},
	{
		"slow-client-timeout",
		[]string{"100ms", "1h"},
		func(c *Config) any { return c.SlowClientTimeout },
		[]any{100 * time.Millisecond, time.Hour},
	},
	{"reload-deadline", []string{"1s", "24h"}, func(c *Config) any { return c.ReloadDeadline }, []any{time.Second, 24 * time.Hour}},
	{"shutdown-grace", []string{"0s", "10m"}, func(c *Config) any { return c.ShutdownGrace }, []any{time.Duration(0), 10 * time.Minute}},
	{"pprof", []string{"true", "false"}, func(c *Config) any { return c.Pprof }, []any{true, false}},
	{"log-format", []string{"text", "json"}, func(c *Config) any { return c.LogFormat }, []any{"text", "json"}},
	{
		"log-level",
		[]string{"debug", "WARN", "error"},
		func(c *Config) any { return c.LogLevel },
		[]any{slog.LevelDebug, slog.LevelWarn, slog.LevelError},
	},
}

func TestFlagsAndEnvironment(t *testing.T) {
	for _, s := range settings {
		for i, value := range s.values {
			t.Run(s.flag+"="+value, func(t *testing.T) {
				if c, err := parse("--" + s.flag + "=" + value); err != nil || s.get(c) != s.want[i] {
					t.Errorf("flag: got %v, %v; want %v", s.get(c), err, s.want[i])
				}
				t.Setenv("HOLDFAST_"+strings.ToUpper(strings.ReplaceAll(s.flag, "-", "_")), value)
				if c, err := parse(); err != nil || s.get(c) != s.want[i] {
					t.Errorf("environment: got %v, %v; want %v", s.get(c), err, s.want[i])
				}
			})
		}
	}
	fields := 0
	for f := range reflect.TypeFor[Config]().Fields() {
		if f.IsExported() {
			fields++
		}
	}
	if fields != len(settings) {
		t.Errorf("%d settings are tested, there are %d", len(settings), fields)
	}
}

func TestFlagGoesBeforeEnvironment(t *testing.T) {
	t.Setenv("HOLDFAST_WINDOW_BYTES", "2048")
	if c, err := parse("--window-bytes=4096"); err != nil || c.WindowBytes != 4096 {
		t.Errorf("got %d, %v; want the flag's 4096", c.WindowBytes, err)
	}
}

// A refusal names the setting, the value, and what is allowed.
func TestWrongValuesAreRefused(t *testing.T) {
	for _, c := range []struct {
		flag, value string
		allowed     string
	}{
		{"listen", "7400", "host:port"},
		{"listen", "::1:7400", "host:port"},
		{"admin-listen", "localhost", "host:port"},
		{"trusted-networks", "10.0.0.1", "CIDR"},
		{"trusted-networks", "10.0.0.0/8,10.0.0.0/40", "CIDR"},
		{"window-bytes", "1023", "1024 to 16777216"},
		{"window-bytes", "16777217", "1024 to 16777216"},
		{"max-message-bytes", "0", "1 to 16777216"},
		{"max-message-bytes", "16777217", "1 to 16777216"},
		{"max-moves-in-flight", "0", "1 to 100000"},
		{"max-moves-in-flight", "100001", "1 to 100000"},
		{"heartbeat-interval", "99ms", "100ms to 10m0s"},
		{"heartbeat-interval", "10m0.1s", "100ms to 10m0s"},
		{"migration-timeout", "9ms", "10ms to 10m0s"},
		{"migration-timeout", "11m0s", "10ms to 10m0s"},
		{"reload-deadline", "999ms", "1s to 24h0m0s"},
		{"reload-deadline", "25h0m0s", "1s to 24h0m0s"},
		{"shutdown-grace", "-1s", "0s to 10m0s"},
		{"shutdown-grace", "11m0s", "0s to 10m0s"},
		{"log-format", "xml", `"text","json"`},
		{"window-bytes", "many", "int"},
		{"heartbeat-interval", "15", "duration"},
		{"log-level", "loud", "level"},
	} {
		t.Run(c.flag+"="+c.value, func(t *testing.T) {
			_, err := parse("--" + c.flag + "=" + c.value)
			last := c.value[strings.LastIndex(c.value, ",")+1:]
			for _, want := range []string{c.flag, last, c.allowed} {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("the error %v does not say %q", err, want)
				}
			}
		})
	}
}

func TestUnknownFlagIsRefused(t *testing.T) {
	if _, err := parse("--windows=1"); err == nil || !strings.Contains(err.Error(), "--windows") {
		t.Errorf("got %v", err)
	}
}

func TestLoggerHasFormAndLevel(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		c := &Config{LogFormat: format, LogLevel: slog.LevelWarn}
		handler := c.Logger().Handler()
		if _, json := handler.(*slog.JSONHandler); json != (format == "json") {
			t.Errorf("%s: the handler is %T", format, handler)
		}
		if handler.Enabled(t.Context(), slog.LevelInfo) || !handler.Enabled(t.Context(), slog.LevelWarn) {
			t.Errorf("%s: the level is not warn", format)
		}
	}
}

// Validate is what fills in the networks, for those who build a Config by hand too.
func TestNetworksComeFromValidate(t *testing.T) {
	c, err := parse()
	if err != nil {
		t.Fatal(err)
	}
	c.TrustedNetworks = []string{"192.0.2.0/24"}
	if err := c.Validate(); err != nil || !slices.Equal(c.Networks(), []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}) {
		t.Errorf("got %v, %v", c.Networks(), err)
	}
}
