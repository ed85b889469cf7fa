package app

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseDefaults(t *testing.T) {
	t.Parallel()
	c, err := Parse(nil, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.InstanceID) < 16 {
		t.Errorf("instance id %q is not random", c.InstanceID)
	}
	if c.ServerID == "" {
		t.Error("the server id is empty")
	}
	c.InstanceID, c.ServerID = "", ""
	want := Config{
		Relays: []string{"127.0.0.1:7400"}, ConnectionsPerRelay: 1, Application: "echo", Listen: "127.0.0.1:7410",
		ParkTime: 30 * time.Second, ShutdownGrace: 10 * time.Second, LogFormat: "text", LogLevel: "info",
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v, want %+v", c, want)
	}
}

func TestParseRelays(t *testing.T) {
	want := []string{"a:1", "b:2", "c:3"}
	c, err := Parse([]string{"--relays", "a:1,b:2", "--relays", "c:3"}, &bytes.Buffer{})
	if err != nil || !reflect.DeepEqual(c.Relays, want) {
		t.Errorf("flags: got %v, %v", c.Relays, err)
	}
	t.Setenv("HOLDFAST_RELAYS", "a:1,b:2,c:3")
	t.Setenv("HOLDFAST_INSTANCE_ID", "i-1")
	c, err = Parse(nil, &bytes.Buffer{})
	if err != nil || !reflect.DeepEqual(c.Relays, want) || c.InstanceID != "i-1" {
		t.Errorf("environment: got %v, %q, %v", c.Relays, c.InstanceID, err)
	}
}

func TestParseRelayNames(t *testing.T) {
	t.Parallel()
	for arg, want := range map[string][2][]string{
		"--relay-names=a:1,b:2":  {nil, {"a:1", "b:2"}},
		"--relays=a:1":           {{"a:1"}, nil},
		"--relay-names=[::1]:70": {nil, {"[::1]:70"}},
	} {
		c, err := Parse([]string{arg}, &bytes.Buffer{})
		if err != nil || !slices.Equal(c.Relays, want[0]) || !slices.Equal(c.RelayNames, want[1]) {
			t.Errorf("%s: got %q and %q, %v", arg, c.Relays, c.RelayNames, err)
		}
	}
	c, err := Parse([]string{"--relays=a:1", "--relay-names=b:2"}, &bytes.Buffer{})
	if err != nil || !slices.Equal(c.Relays, []string{"a:1"}) || !slices.Equal(c.RelayNames, []string{"b:2"}) {
		t.Errorf("both: got %q and %q, %v", c.Relays, c.RelayNames, err)
	}
}

// A refusal names the flag, the value and what is allowed.
func TestParseRefuses(t *testing.T) {
	t.Parallel()
	cases := map[string][]string{
		"--relays=nowhere":              {"--relays", `"nowhere"`, "HOST:PORT"},
		"--relays=a:0":                  {"--relays", `"a:0"`, "1 to 65535"},
		"--relays=":                     {"--relays", "HOST:PORT"},
		"--relay-names=nowhere":         {"--relay-names", `"nowhere"`, "HOST:PORT"},
		"--relay-names=:1":              {"--relay-names", `":1"`, "no name"},
		"--listen=:70000":               {"--listen", `":70000"`, "0 to 65535"},
		"--metrics-listen=9090":         {"--metrics-listen", `"9090"`, "0 to 65535"},
		"--server-id=":                  {"--server-id", `""`, "1 to 128"},
		"--server-id=a b":               {"--server-id", `"a b"`, "no space"},
		"--instance-id=a\tb":            {"--instance-id", `"a\tb"`, "no space"},
		"--application=":                {"--application", `""`, "1 to 128"},
		"--connections-per-relay=0":     {"--connections-per-relay", "0", "1 to 16"},
		"--connections-per-relay=17":    {"--connections-per-relay", "17", "1 to 16"},
		"--connections-per-relay=three": {"--connections-per-relay", "three", "int"},
		"--shutdown-grace=-1s":          {"--shutdown-grace", "-1s", "0s to 1h"},
		"--shutdown-grace=5":            {"--shutdown-grace", `"5"`, "duration"},
		"--log-format=xml":              {"--log-format", `"xml"`, `"text","json"`},
		"--log-level=loud":              {"--log-level", `"loud"`, `"debug","info","warn","error"`},
		"--colour=red":                  {"--colour", "unknown flag"},
	}
	for arg, wants := range cases {
		_, err := Parse([]string{arg}, &bytes.Buffer{})
		if err == nil {
			t.Errorf("%s was allowed", arg)
			continue
		}
		for _, want := range wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q does not have %q", arg, err, want)
			}
		}
	}
}

func TestParseHelp(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if _, err := Parse([]string{"--help"}, &out); !errors.Is(err, errHelp) {
		t.Errorf("got %v", err)
	}
	for _, want := range []string{"Example:", "HOLDFAST_RELAYS", "HOLDFAST_SHUTDOWN_GRACE"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the help does not have %q:\n%s", want, out.String())
		}
	}
}

func TestMainExitCodes(t *testing.T) {
	t.Parallel()
	var out, errs bytes.Buffer
	if code := Main([]string{"--help"}, &out, &errs); code != 0 || errs.Len() > 0 {
		t.Errorf("help: exit code %d, %q", code, errs.String())
	}
	if code := Main([]string{"--relays=x"}, &out, &errs); code != 1 || !strings.HasPrefix(errs.String(), "appserver: --relays") {
		t.Errorf("a wrong value: exit code %d, %q", code, errs.String())
	}
}

// What is printed is a file that gives the same settings; a file with an unknown name is refused.
func TestParseFile(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	args := []string{"--relays", "a:1,b:2", "--park-time", "90s", "--server-id", "yes", "--instance-id", "1"}
	if _, err := Parse(append(args, "--print-config"), &out); !errors.Is(err, errHelp) {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "appserver.yaml")
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(out.String())
	want, err := Parse(args, &out)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse([]string{"--config", name}, &out)
	got.Config, got.RelayNames = "", nil // a list that is empty is [] when it comes from a file
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v,\nwant %+v", got, err, want)
	}
	write("relay: a:1\n")
	if _, err := Parse([]string{"--config", name}, &out); err == nil || !strings.Contains(err.Error(), `"relay", which is no setting`) {
		t.Errorf("an unknown name: %v", err)
	}
}
