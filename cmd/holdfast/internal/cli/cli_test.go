package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

func TestMain(m *testing.M) {
	time.Local = time.UTC // The expected outputs have times.
	goleak.VerifyTestMain(m)
}

// outcome is what a command did.
type outcome struct {
	code      int
	out, errs string
}

func call(t *testing.T, args ...string) outcome {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(t.Context(), args, &out, &errs)
	return outcome{code, out.String(), errs.String()}
}

func (o outcome) expect(t *testing.T, code int, out, errs string) {
	t.Helper()
	if o.code != code || o.out != out || o.errs != errs {
		t.Errorf("exit code %d, want %d\nout:\n%s\nwant:\n%s\nerrors:\n%s\nwant:\n%s", o.code, code, o.out, out, o.errs, errs)
	}
}

func TestReloadSafe(t *testing.T) {
	address, admin := startAdmin(t)
	call(t, "--admin", address, "reload", "a", "--wait", "5s").expect(t, 0, `ingress a: 0 of 51 moved; left: 49: client came in through this ingress; 2: not confirmed by the app server yet
ingress a: 50 of 51 moved, 1 closed by themselves; clients: 0 of 20 moved; left: 49: client came in through this ingress; 2: not confirmed by the app server yet
ingress a: 50 of 51 moved, 1 closed by themselves; clients: 18 of 20 moved; left: 49: client came in through this ingress
ingress a: 50 of 51 moved, 1 closed by themselves; clients: 18 of 20 moved; left: 49: client came in through this ingress, after 0s: SAFE to reload
ingress a is out of service until 03:04:05; return it with: holdfast complete a
`, "")
	want := &holdfastv1.ReloadIngressRequest{
		Ingress: "a", Wait: durationpb.New(5 * time.Second), Deadline: durationpb.New(10 * time.Minute),
	}
	if got := (<-admin.asked).(*holdfastv1.ReloadIngressRequest); !proto.Equal(got, want) {
		t.Errorf("asked for %v, want %v", got, want)
	}
}

func TestReloadNotSafe(t *testing.T) {
	address, _ := startAdmin(t)
	got := call(t, "--admin", address, "reload", "b")
	if got.code != 2 || !strings.Contains(got.out, "NOT safe to reload") ||
		!strings.Contains(got.errs, "holdfast: ingress b: a reload would cut connections that could not be moved") {
		t.Errorf("%+v", got)
	}
	got = call(t, "--admin", address, "--output", "json", "reload", "b")
	lines := strings.Split(strings.TrimSpace(got.out), "\n")
	if got.code != 2 || len(lines) != 4 {
		t.Errorf("%+v", got)
	}
	var last struct {
		Done bool `json:"done"`
		Safe bool `json:"safe_to_reload"`
		Left []struct{ Connections int }
	}
	if err := json.Unmarshal([]byte(lines[3]), &last); err != nil || !last.Done || last.Safe || len(last.Left) != 2 {
		t.Errorf("%+v, %v", last, err)
	}
}

func TestUnknownIngress(t *testing.T) {
	address, _ := startAdmin(t)
	for _, command := range []string{"reload", "complete", "cancel"} {
		call(t, "--admin", address, command, "x").expect(t, 1, "", "holdfast: ingress \"x\" is not known (UNKNOWN_INGRESS)\n")
	}
}

func TestCompleteAndCancel(t *testing.T) {
	address, _ := startAdmin(t)
	call(t, "--admin", address, "complete", "a").expect(t, 0, "ingress a: in service\n", "")
	call(t, "--admin", address, "cancel", "a").expect(t, 0, "ingress a: in service, not reloaded\n", "")
	call(t, "--admin", address, "complete", "a", "--output", "json").expect(t, 0, "{}\n", "")
}

func TestMoveAndClose(t *testing.T) {
	address, admin := startAdmin(t)
	call(t, "--admin", address, "move", knownConnection, "--to", "sample-1/2").
		expect(t, 0, "connection "+knownConnection+": moved to server connection sample-1/2, paused for 1ms\n", "")
	if got := (<-admin.asked).(*holdfastv1.MoveConnectionRequest); got.GetTargetServerConnectionId() != "sample-1/2" {
		t.Errorf("asked for %v", got)
	}
	call(t, "--admin", address, "move", knownConnection, "--output", "json").
		expect(t, 0, `{"server_connection_id":"sample-1/2","pause":"0.001s"}`+"\n", "")
	call(t, "--admin", address, "close", knownConnection).expect(t, 0, "connection "+knownConnection+": closing\n", "")
	for _, command := range []string{"move", "close"} {
		call(t, "--admin", address, command, "x").expect(t, 1, "", "holdfast: no connection x is known (UNKNOWN_CONNECTION)\n")
	}
}

func TestLogLevel(t *testing.T) {
	address, admin := startAdmin(t)
	call(t, "--admin", address, "log-level", "debug").expect(t, 0, "log level: debug, was info\n", "")
	if got := (<-admin.asked).(*holdfastv1.SetLogLevelRequest); got.GetLevel() != "debug" {
		t.Errorf("asked for %v", got)
	}
	call(t, "--admin", address, "log-level", "warn", "--output", "json").expect(t, 0, `{"level":"warn","previous_level":"info"}`+"\n", "")
	if got := call(t, "--admin", address, "log-level", "loud"); got.code != 1 || !strings.Contains(got.errs, "loud") {
		t.Errorf("a wrong level: %+v", got)
	}
}

func TestListIngressesAndServers(t *testing.T) {
	address, admin := startAdmin(t)
	call(t, "--admin", address, "list", "ingresses").expect(t, 0, `INGRESS  STATE                               SERVER CONNECTIONS  CLIENT CONNECTIONS  AWAY  LOGICAL CONNECTIONS
a        draining until 2030-01-02 03:04:05  2                   100                 0     49
b        in service                          2                   100                 3     151
`, "")
	call(t, "--admin", address, "list", "servers", "--ingress", "a", "--application", "echo").expect(t, 0, `SERVER CONNECTION  APPLICATION  APP SERVER  INSTANCE  INGRESS  ADDRESS      STATE     LOGICAL CONNECTIONS  SINCE
sample-1/1         echo         sample-1    i1        a        127.0.0.1:5  draining  7                    2030-01-02 03:04:05
`, "")
	if got := (<-admin.asked).(*holdfastv1.ListServerConnectionsRequest); got.GetIngress() != "a" || got.GetApplication() != "echo" {
		t.Errorf("asked for %v", got)
	}
}

func TestListClients(t *testing.T) {
	address, admin := startAdmin(t)
	call(t, "--admin", address, "list", "clients", "--limit", "3").expect(t, 0, `CONNECTION        APPLICATION  STATE      EPOCH  CLIENT           CLIENT INGRESS  CLIENT ADDRESS  APP SERVER  SERVER CONNECTION  SERVER INGRESS  RECEIVED  SENT  SINCE
0000000000000000  echo         migrating  1.2    plain            b                                                              a               3         4     -
0000000000000001  echo         migrating  1.2    resumable        b                                                              a               3         4     -
0000000000000002  echo         migrating  1.2    resumable, away  b                                                              a               3         4     -
3 of 250 shown; --limit 250 shows all
`, "")
	<-admin.asked
	for limit, want := range map[string]int{"1": 1, "100": 100, "101": 101, "250": 250, "10000": 250} {
		got := call(t, "--admin", address, "--output", "json", "list", "clients", "--limit", limit,
			"--client-ingress", "b", "--server-ingress", "a", "--server", "sample-1", "--application", "echo")
		var list struct {
			Clients []struct {
				ID string `json:"connection_id"`
			} `json:"client_connections"`
			Total int `json:"total"`
		}
		if err := json.Unmarshal([]byte(got.out), &list); err != nil || len(list.Clients) != want || list.Total != allConnections {
			t.Errorf("limit %s: %d of %d, %v", limit, len(list.Clients), list.Total, err)
		}
		seen := map[string]bool{}
		for _, c := range list.Clients {
			seen[c.ID] = true
		}
		if len(seen) != want {
			t.Errorf("limit %s: %d different ones", limit, len(seen))
		}
		r := (<-admin.asked).(*holdfastv1.ListClientConnectionsRequest)
		if r.GetClientIngress() != "b" || r.GetServerIngress() != "a" || r.GetServerId() != "sample-1" || r.GetApplication() != "echo" {
			t.Errorf("asked for %v", r)
		}
		for len(admin.asked) > 0 {
			<-admin.asked
		}
	}
	call(t, "list", "clients", "--limit", "0").expect(t, 1, "", "holdfast: --limit: 0 is not allowed; 1 and more is\n")
}

func TestWatch(t *testing.T) {
	address, _ := startAdmin(t)
	call(t, "--admin", address, "watch").expect(t, 1, `03:04:05.000 watching
03:04:05.000 connection moved connection=00c0ffee00c0ffee from=sample-1/1 to=sample-1/2 app_server=sample-1 pause=1.5ms
03:04:05.000 connection closed connection=00c0ffee00c0ffee reason="server lost" detail="gone"
03:04:05.000 client away connection=00c0ffee00c0ffee server_connection=sample-1/2
03:04:05.000 client resumed connection=00c0ffee00c0ffee server_connection=sample-1/2 detail="client came in through b"
03:04:05.000 connection let go connection=00c0ffee00c0ffee reason="resumed elsewhere"
03:04:05.000 missed missed=5
`, "holdfast: the relay ended the watch\n")
	got := call(t, "--admin", address, "--output", "json", "watch", "--no-connections")
	lines := strings.Split(strings.TrimSpace(got.out), "\n")
	if len(lines) != 7 || !strings.Contains(lines[1], `"pause":"0.001500s"`) {
		t.Errorf("%+v", got)
	}
}

func TestHealth(t *testing.T) {
	address, _ := startAdmin(t)
	call(t, "health", "--address", address).expect(t, 0, address+": SERVING\n", "")
	call(t, "health", "--address", address, "--service", "down").
		expect(t, 1, address+": NOT_SERVING\n", "holdfast: "+address+": NOT_SERVING\n")
	call(t, "health", "--address", address, "--output", "json").expect(t, 0, `{"status":"SERVING"}`+"\n", "")
	if got := call(t, "health", "--address", "127.0.0.1:1"); got.code != 1 || !strings.Contains(got.errs, "127.0.0.1:1: no health") {
		t.Errorf("%+v", got)
	}
}

func TestNoRelay(t *testing.T) {
	got := call(t, "--admin", "127.0.0.1:1", "list", "servers")
	if got.code != 1 || !strings.Contains(got.errs, "no relay answers at 127.0.0.1:1") || !strings.Contains(got.errs, "HOLDFAST_ADMIN") {
		t.Errorf("%+v", got)
	}
}

func TestAdminFromTheEnvironment(t *testing.T) {
	address, _ := startAdmin(t)
	t.Setenv("HOLDFAST_ADMIN", address)
	call(t, "complete", "a").expect(t, 0, "ingress a: in service\n", "")
}

// Every command has help with an example.
func TestHelp(t *testing.T) {
	commands := []string{
		"", "reload", "complete", "cancel", "move", "close", "list", "list ingresses", "list servers", "list clients",
		"watch", "health", "doctor", "ingress", "traffic", "demo", "bench", "install", "keygen",
	}
	for _, command := range commands {
		got := call(t, append(strings.Fields(command), "--help")...)
		if got.code != 0 || !strings.Contains(got.out, "Example") || !strings.Contains(got.out, "holdfast "+command) {
			t.Errorf("%q: %+v", command, got)
		}
	}
}

func TestWrongUse(t *testing.T) {
	for want, args := range map[string][]string{
		`--output must be one of "text","json" but got "xml"`:      {"--output", "xml", "list", "servers"},
		"unexpected argument nothing":                              {"list", "nothing"},
		`"<ingress>"`:                                              {"reload"},
		"--addresses":                                              {"traffic"},
		"--clients: 0 is not allowed":                              {"traffic", "--addresses", "127.0.0.1:1", "--clients", "0"},
		"--duration: -1s is not allowed":                           {"traffic", "--addresses", "127.0.0.1:1", "--duration=-1s"},
		`--ingress must be one of "embedded","nginx" but got "x"`:  {"demo", "--ingress", "x"},
		"--reloads: 0 is not allowed":                              {"demo", "--reloads", "0"},
		`upstream "x" is not allowed`:                              {"ingress", "--listen", "127.0.0.1:0", "--id", "a", "--upstream", "x"},
		"--listen 256.0.0.1:x":                                     {"ingress", "--listen", "256.0.0.1:x", "--id", "a", "--upstream", "127.0.0.1:1"},
		"--forward 256.0.0.1:x":                                    {"ingress", "--listen", "127.0.0.1:0", "--id", "a", "--upstream", "127.0.0.1:1", "--forward", "256.0.0.1:x=127.0.0.1:1"},
		`upstream "" is not allowed`:                               {"ingress", "--listen", "127.0.0.1:0", "--id", "a", "--upstream", "127.0.0.1:1", "--forward", "127.0.0.1:0"},
		`--wait: expected duration but got "5"`:                    {"reload", "a", "--wait", "5"},
		"expected one of \"reload\", \"complete\", \"cancel\", \"": {},
	} {
		if got := call(t, args...); got.code != 1 || got.out != "" || !strings.Contains(got.errs, want) {
			t.Errorf("%v: want %q, got %+v", args, want, got)
		}
	}
}

// An ingress that is told to end ends.
func TestIngressEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	args := []string{"ingress", "--listen", "127.0.0.1:0", "--id", "a", "--upstream", "127.0.0.1:1", "--forward", "127.0.0.1:0=127.0.0.1:1"}
	if code := run(ctx, args, &out, &errs); code != 0 || !strings.Contains(errs.String(), "ingress stopped") {
		t.Errorf("exit code %d, %s", code, errs.String())
	}
}
