package compose_test

import (
	"context"
	"encoding/json"
	"strings"
)

// report is the last thing that "holdfast traffic --output json" prints: of the plain clients, or of the resumable ones. What has
// to be 0 is a json.Number, as that is empty when the report does not say it.
type report struct {
	Sent      int64       `json:"sent"`
	Received  int64       `json:"received"`
	Lost      json.Number `json:"lost"`
	Doubled   json.Number `json:"doubled"`
	Reordered json.Number `json:"reordered"`
	Corrupted json.Number `json:"corrupted"`
	// Connections is how many logical connections the clients opened.
	Connections int64           `json:"connections"`
	Moves       int64           `json:"moves"`
	ByIngress   []ingressReport `json:"by_ingress"`
}

type ingressReport struct {
	Ingress      string      `json:"ingress"`
	Clients      int64       `json:"clients"`
	Disconnected json.Number `json:"disconnected"`
	Reasons      map[string]int64
}

// connection is one line of "holdfast list clients --output json".
type connection struct {
	ID            string `json:"connection_id"`
	ClientIngress string `json:"client_ingress"`
	ServerIngress string `json:"server_ingress"`
	relay         string
}

// server is one line of "holdfast list servers --output json".
type server struct {
	ServerID string `json:"server_id"`
	Ingress  string `json:"ingress"`
	relay    string
}

// connections lists the connections at all relays.
func (d *deployment) connections(ctx context.Context) []connection {
	d.t.Helper()
	var all []connection
	for _, relay := range relays {
		var list struct {
			Connections []connection `json:"client_connections"`
		}
		d.list(ctx, relay, "clients", &list)
		for _, c := range list.Connections {
			c.relay = relay
			all = append(all, c)
		}
	}
	return all
}

func (d *deployment) connectionsByID(ctx context.Context) map[string]connection {
	d.t.Helper()
	byID := map[string]connection{}
	for _, c := range d.connections(ctx) {
		byID[c.ID] = c
	}
	return byID
}

// servers lists the server connections to all relays.
func (d *deployment) servers(ctx context.Context) []server {
	d.t.Helper()
	var all []server
	for _, relay := range relays {
		var list struct {
			Servers []server `json:"server_connections"`
		}
		d.list(ctx, relay, "servers", &list)
		for _, s := range list.Servers {
			s.relay = relay
			all = append(all, s)
		}
	}
	return all
}

func (d *deployment) list(ctx context.Context, relay, what string, into any) {
	d.t.Helper()
	out := d.mustCompose(ctx, "exec", "-T", relay, "holdfast", "list", what, "--output", "json")
	if err := json.Unmarshal([]byte(out), into); err != nil {
		d.t.Fatalf("%s: list %s: %v in:\n%s", relay, what, err, out)
	}
}

// stopClients ends a load client as an operator would, and reads what it says at the end.
func (d *deployment) stopClients(ctx context.Context, service string) report {
	d.t.Helper()
	id := d.container(ctx, service)
	d.mustCompose(ctx, "stop", service) // SIGTERM
	if code := d.must(ctx, "docker", "inspect", "--format", "{{.State.ExitCode}}", id); code != "0" {
		d.t.Errorf("%s: exit code %s, want 0", service, code)
	}
	out := d.must(ctx, "docker", "logs", id)
	r, ok := lastReport(out)
	if !ok {
		d.t.Fatalf("%s: no final report in:\n%s", service, tail(out, 20))
	}
	return r
}

// lastReport finds the last JSON object, which may stand on several lines, after other lines.
func lastReport(out string) (report, bool) {
	for start := len(out); start > 0; {
		start = strings.LastIndex("\n"+out[:start], "\n{")
		if start < 0 {
			break
		}
		var r report
		if json.NewDecoder(strings.NewReader(out[start:])).Decode(&r) == nil {
			return r, true
		}
	}
	return report{}, false
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
