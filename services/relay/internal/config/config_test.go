package config

import (
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/holdfast/holdfast/pkg/settings"
)

// parse reads flags and the environment as the command does.
func parse(args ...string) (*Config, error) {
	c, err := Parse(args, io.Discard, kong.Name("relay"))
	if c == nil {
		c = &Config{}
	}
	return c, err
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
		Security: Security{TLSRefresh: 30 * time.Second, JWTLeeway: 30 * time.Second},
		Limits:   Limits{HandshakeTimeout: 10 * time.Second},
		Resume:   Resume{ResumeTime: 30 * time.Second, ResumeTokenTime: 5 * time.Minute, ReconnectWindow: 10 * time.Second},
		vouching: []netip.Prefix{},
		networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
	}
	if !reflect.DeepEqual(*c, want) {
		t.Errorf("got %+v,\nwant %+v", *c, want)
	}
}

func TestFlagsEnvironmentAndFile(t *testing.T) {
	for _, s := range table {
		for i, value := range s.values {
			t.Run(s.flag+"="+value, func(t *testing.T) {
				check := func(source string, args ...string) {
					t.Helper()
					if c, err := parse(append(slices.Clone(s.with), args...)...); err != nil || s.get(c) != s.want[i] {
						t.Errorf("%s: got %v, %v; want %v", source, s.get(c), err, s.want[i])
					}
				}
				check("flag", "--"+s.flag+"="+value)
				check("file", "--config", file(t, s.flag+": '"+value+"'\n"))
				if list := strings.Split(value, ","); len(list) > 1 {
					check("a list in a file", "--config", file(t, s.flag+": ['"+strings.Join(list, "', '")+"']\n"))
				}
				t.Setenv("HOLDFAST_"+strings.ToUpper(strings.ReplaceAll(s.flag, "-", "_")), value)
				check("environment")
			})
		}
	}
	if fields := fieldsOf(reflect.TypeFor[Config]()); fields != len(table) {
		t.Errorf("%d settings are tested, there are %d", len(table), fields)
	}
}

// fieldsOf counts the settings of a struct and of those that it embeds, but for the two that are about the others.
func fieldsOf(t reflect.Type) (n int) {
	for f := range t.Fields() {
		switch {
		case f.Type == reflect.TypeFor[settings.File]():
		case f.Anonymous:
			n += fieldsOf(f.Type)
		case f.IsExported():
			n++
		}
	}
	return n
}

func file(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "relay.yaml")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// A flag goes before the environment, and that before the file.
func TestPrecedence(t *testing.T) {
	name := file(t, "window-bytes: 2048\npark-time: 2s\nmessage-rate: 7\n")
	t.Setenv("HOLDFAST_CONFIG", name)
	t.Setenv("HOLDFAST_WINDOW_BYTES", "4096")
	t.Setenv("HOLDFAST_PARK_TIME", "4s")
	c, err := parse("--park-time=8s")
	if err != nil || c.MessageRate != 7 || c.WindowBytes != 4096 || c.ParkTime != 8*time.Second {
		t.Errorf("got %d, %d, %v, %v; want 7 of the file, 4096 of the environment, 8s of the flag", c.MessageRate, c.WindowBytes, c.ParkTime, err)
	}
}

func TestWrongFilesAreRefused(t *testing.T) {
	for content, want := range map[string]string{
		"windows: 1\n":               `"windows", which is no setting`,
		"window-bytes: 1\n":          "--window-bytes=1: want 1024 to 16777216",
		"window-bytes: many\n":       "many",
		"window-bytes: {a: 1}\n":     "line 1: window-bytes: want a value or a list",
		"- a\n":                      "not YAML with a value for each name",
		"window-bytes: [\n":          "not YAML",
		"config: x\n":                `"config", which is no setting`,
		"applications: [a, [b]]\n":   "item 2",
		"applications: ['a,b', c]\n": `item 1 is "a,b"`,
		"park-time: 3\n":             "park-time",
		"pprof: true\n---\nx: 1\n":   "more than one document",
	} {
		if _, err := parse("--config", file(t, content)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: the error %v does not say %q", content, err, want)
		}
	}
	if _, err := parse("--config", "/nowhere.yaml"); err == nil || !strings.Contains(err.Error(), "/nowhere.yaml") {
		t.Errorf("a file that is not there: %v", err)
	}
}

// What is printed is a file that gives the same settings.
func TestPrintConfig(t *testing.T) {
	args := []string{
		"--window-bytes=4096", "--trusted-networks=10.0.0.0/8,::/0", "--park-time=90s", "--log-level=warn", "--applications=a,b",
		"--jwt-key=k", "--jwt-issuer=yes", "--jwt-audience=a: b", "--pprof", "--max-memory-bytes=134217728",
	}
	var out strings.Builder
	if c, err := Parse(append(args, "--print-config"), &out, kong.Name("relay")); c != nil || err != nil {
		t.Fatalf("got %v, %v", c, err)
	}
	want, err := parse(args...)
	if err != nil {
		t.Fatal(err)
	}
	got, err := parse("--config", file(t, out.String()))
	if err != nil {
		t.Fatalf("%v in what was printed:\n%s", err, out.String())
	}
	// A list that is empty is [] when it comes from a file.
	got.Config, got.WebsocketOrigins, got.IdentityNetworks, got.vouching, want.vouching = "", nil, nil, nil, nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("printed:\n%s\nit gives %+v,\nwant %+v", out.String(), got, want)
	}
	if _, err := Parse([]string{"--print-config", "--window-bytes=1"}, &out, kong.Name("relay")); err == nil {
		t.Error("wrong settings were printed")
	}
}

// Without TLS and credentials the relay listens on loopback only, unless it is told that this is meant.
func TestInsecure(t *testing.T) {
	admin := []string{"--admin-listen=0.0.0.0:1", "--admin-tls-cert=c", "--admin-tls-key=k", "--admin-token-file=t"}
	for _, c := range []struct {
		want string // of the error; empty: allowed
		args []string
	}{
		{"", []string{"--listen=127.0.0.9:1", "--admin-listen=[::1]:1"}},
		{"", []string{"--listen=localhost:1"}},
		{"--listen=", []string{"--listen=0.0.0.0:1"}},
		{"--listen=", []string{"--listen=:1"}},
		{"--websocket-listen=", []string{"--websocket-listen=:1"}},
		{"", []string{"--websocket-listen=localhost:1"}},
		{"--listen=", []string{"--listen=host.example:1"}},
		{"anybody may attach", []string{"--listen=:1", "--tls-cert=c", "--tls-key=k"}},
		{"", []string{"--listen=:1", "--tls-cert=c", "--tls-key=k", "--server-ca=ca"}},
		{"nobody can show a certificate", []string{"--server-ca=ca"}},
		{"", []string{"--listen=:1", "--insecure"}},
		{"--admin-listen=", []string{"--admin-listen=10.0.0.1:1"}},
		{"", admin},
		{"--admin-listen=", admin[:3]},
		{"--admin-listen=", []string{admin[0], admin[3]}},
		{"", []string{admin[0], "--insecure"}},
		{"give both or neither", []string{"--tls-cert=c"}},
		{"give both or neither", []string{"--admin-tls-key=k"}},
		{"needs --server-ca", []string{"--server-identities=i"}},
		{"give one of them", []string{"--jwt-key=k", "--jwt-jwks=j", "--jwt-issuer=i", "--jwt-audience=a"}},
		{"required with a key", []string{"--jwt-key=k"}},
		{"required with a key", []string{"--jwt-key=k", "--jwt-issuer=i"}},
		{"without a key", []string{"--jwt-audience=a"}},
		{"want https", []string{"--jwt-jwks=http://k/j", "--jwt-issuer=i", "--jwt-audience=a"}},
	} {
		_, err := parse(c.args...)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%v: got %v, want %q", c.args, err, c.want)
		}
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
		{"websocket-listen", "localhost", "host:port"},
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
		{"max-connections", "10000001", "1 to 10000000, or 0 for none"},
		{"max-connections-per-address", "-1", "1 to 10000000, or 0 for none"},
		{"max-connections-per-identity", "-1", "1 to 10000000, or 0 for none"},
		{"connection-rate", "1000001", "1 to 1000000, or 0 for none"},
		{"message-rate", "-5", "1 to 1000000, or 0 for none"},
		{"handshake-timeout", "0s", "100ms to 10m0s"},
		{"idle-timeout", "1ms", "1s to 24h0m0s, or 0 for none"},
		{"max-retained-bytes", "1", "1048576 to 1099511627776, or 0 for none"},
		{"max-memory-bytes", "1", "134217728 to 1099511627776, or 0 for none"},
		{"tls-refresh", "1ms", "100ms to 24h0m0s"},
		{"jwt-leeway", "11m0s", "0s to 10m0s"},
		{"resume-time", "10m0.1s", "0s to 10m0s"},
		{"resume-time", "2m30.1s", "--resume-token-time=5m0s"},
		{"resume-token-time", "9.9s", "10s to 24h0m0s"},
		{"resume-token-time", "59s", "--resume-time=30s: want twice that"},
		{"resume-token-time", "25h0m0s", "10s to 24h0m0s"},
		{"reconnect-window", "-1s", "0s to 10m0s"},
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
