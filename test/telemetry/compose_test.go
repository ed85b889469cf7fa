package telemetry_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// compose returns the command of docker compose, by either of its names.
func compose(t *testing.T) []string {
	t.Helper()
	for _, command := range [][]string{{"docker", "compose"}, {"docker-compose"}} {
		if exec.CommandContext(t.Context(), command[0], append(command[1:], "version")...).Run() == nil {
			return command
		}
	}
	t.Skip("SKIPPED: neither docker compose nor docker-compose is installed, so that docker-compose.yml was NOT checked")
	return nil
}

// docker-compose.yml is valid, and has the services that watch in the profile and nothing else there.
func TestComposeProfile(t *testing.T) {
	command := append(compose(t), "--file", "../../docker-compose.yml", "--profile", "observability", "config")
	out, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", command, err, out)
	}
	for _, want := range []string{
		"otel-collector:", "prometheus:", "jaeger:", "grafana:", "/deploy/observability", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the configuration lacks %s", want)
		}
	}
	if n := strings.Count(string(out), "- observability"); n != 4 {
		t.Errorf("%d services are in the profile, want 4", n)
	}
}

// dashboard is what matters here of one.
type dashboard struct {
	UID    string
	Panels []struct {
		Title   string
		GridPos struct{ X, Y, W, H int }
		Targets []struct{ Expr, RefID string }
	}
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	if err := json.Unmarshal([]byte(read(t, "grafana/dashboards/holdfast.json")), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// Prometheus can read the queries of the dashboard.
func TestQueries(t *testing.T) {
	promtool := findPromtool(t)
	type rule struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	var rules []rule
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			expr := strings.ReplaceAll(target.Expr, "$__rate_interval", "1m")
			rules = append(rules, rule{fmt.Sprintf("query:%d", len(rules)), expr})
		}
	}
	// JSON is YAML.
	file, err := json.Marshal(map[string]any{"groups": []any{map[string]any{"name": "queries", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "queries.yml")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), promtool, "check", "rules", path).CombinedOutput()
	if want := fmt.Sprintf("%d rules found", len(rules)); err != nil || len(rules) < 20 || !strings.Contains(string(out), want) {
		t.Errorf("%d queries: %v\n%s", len(rules), err, out)
	}
}

// Each panel of the dashboard has a query, and a place of its own.
func TestDashboard(t *testing.T) {
	dashboard := readDashboard(t)
	if dashboard.UID == "" || len(dashboard.Panels) < 10 {
		t.Fatalf("dashboard %q has %d panels", dashboard.UID, len(dashboard.Panels))
	}
	places := make(map[[2]int]string)
	for _, p := range dashboard.Panels {
		at := [2]int{p.GridPos.X, p.GridPos.Y}
		if other := places[at]; other != "" || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("%q stands where %q does, or outside: %v", p.Title, other, p.GridPos)
		}
		places[at] = p.Title
		if len(p.Targets) == 0 {
			t.Errorf("%q has no query", p.Title)
		}
		for _, target := range p.Targets {
			if !strings.Contains(target.Expr, "holdfast_") || strings.Count(target.Expr, "(") != strings.Count(target.Expr, ")") {
				t.Errorf("%q has the query %q", p.Title, target.Expr)
			}
		}
	}
}
