package telemetry_test

import (
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// families are the metrics of a scrape by their name.
type families map[string]*dto.MetricFamily

// scrape reads the metrics of the program at the address as Prometheus does.
func (s *system) scrape(address string) families {
	s.t.Helper()
	client := &http.Client{Timeout: askTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + address + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	all, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		s.t.Fatalf("scraping %s: %s, %v", address, resp.Status, err)
	}
	return all
}

func (s *system) waitHeartbeat() {
	s.t.Helper()
	s.await("the round trip of a heartbeat", func() bool {
		return s.scrape(s.admin)["holdfast_relay_heartbeat_duration_seconds"] != nil
	})
}

// relayFamilies and serverFamilies are all metrics with their type and the names of their labels.
var relayFamilies = map[string]string{
	"holdfast_relay_app_servers":                 "GAUGE application ingresses",
	"holdfast_relay_batches_total":               "COUNTER network_io_direction",
	"holdfast_relay_buffered_bytes":              "GAUGE",
	"holdfast_relay_client_connections":          "GAUGE ingress",
	"holdfast_relay_clients_away":                "GAUGE ingress",
	"holdfast_relay_clients_resumed_total":       "COUNTER before",
	"holdfast_relay_connections_closed_total":    "COUNTER reason",
	"holdfast_relay_connections_opened_total":    "COUNTER",
	"holdfast_relay_errors_total":                "COUNTER error_type",
	"holdfast_relay_evacuation_duration_seconds": "HISTOGRAM",
	"holdfast_relay_frames_dropped_total":        "COUNTER reason",
	"holdfast_relay_frames_total":                "COUNTER network_io_direction",
	"holdfast_relay_heartbeat_duration_seconds":  "HISTOGRAM ingress",
	"holdfast_relay_io_bytes_total":              "COUNTER network_io_direction",
	"holdfast_relay_logical_connections":         "GAUGE application ingress",
	"holdfast_relay_move_phase_duration_seconds": "HISTOGRAM phase",
	"holdfast_relay_moves_oldest_age_seconds":    "GAUGE mode",
	"holdfast_relay_moves_open":                  "GAUGE mode",
	"holdfast_relay_moves_total":                 "COUNTER mode outcome reason",
	"holdfast_relay_parked_connections":          "GAUGE",
	"holdfast_relay_pause_duration_seconds":      "HISTOGRAM mode",
	"holdfast_relay_retained_bytes":              "GAUGE",
	"holdfast_relay_server_connections":          "GAUGE application draining ingress",
}

var serverFamilies = map[string]string{
	"holdfast_appserver_connections":            "GAUGE",
	"holdfast_appserver_frames_dropped_total":   "COUNTER reason",
	"holdfast_appserver_moves_total":            "COUNTER outcome",
	"holdfast_appserver_pause_duration_seconds": "HISTOGRAM",
	"holdfast_appserver_server_connections":     "GAUGE draining ingress",
}

// checkFamilies checks that exactly these metrics with the prefix are there, each with a help.
func checkFamilies(t *testing.T, got families, prefix string, want map[string]string) {
	t.Helper()
	for name, family := range got {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		labels := make(map[string]bool)
		for _, m := range family.GetMetric() {
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = true
			}
		}
		is := strings.TrimSpace(family.GetType().String() + " " + strings.Join(slices.Sorted(maps.Keys(labels)), " "))
		if is != want[name] {
			t.Errorf("%s is %q, want %q", name, is, want[name])
		}
		if family.GetHelp() == "" {
			t.Errorf("%s has no help", name)
		}
	}
	for name := range want {
		if got[name] == nil {
			t.Errorf("there is no %s", name)
		}
	}
}

// sum adds up the metric, of a histogram how much was recorded, over those that have the labels, given as name=value.
func (f families) sum(name string, labels ...string) (sum float64) {
	for _, m := range f[name].GetMetric() {
		has := make(map[string]bool)
		for _, l := range m.GetLabel() {
			has[l.GetName()+"="+l.GetValue()] = true
		}
		if slices.ContainsFunc(labels, func(l string) bool { return !has[l] }) {
			continue
		}
		sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
	}
	return sum
}

// checkValues checks what is known for sure of what happened.
func checkValues(t *testing.T, relay, server families) {
	t.Helper()
	moved := relay.sum("holdfast_relay_moves_total", "mode=handoff", "reason=reload", "outcome=moved")
	resumed := relay.sum("holdfast_relay_moves_total", "mode=resume", "outcome=resumed")
	if moved < 1 || resumed < clients {
		t.Errorf("%v were moved and %v resumed", moved, resumed)
	}
	for _, c := range []struct {
		what      string
		got, want float64
	}{
		{"opened", relay.sum("holdfast_relay_connections_opened_total"), clients},
		{"closed", relay.sum("holdfast_relay_connections_closed_total"), clients},
		{"logical connections", relay.sum("holdfast_relay_logical_connections"), 0},
		{"parked", relay.sum("holdfast_relay_parked_connections"), 0},
		{"app servers behind one ingress", relay.sum("holdfast_relay_app_servers", "application=echo", "ingresses=one"), 1},
		{"server connections through a", relay.sum("holdfast_relay_server_connections", "ingress=a", "draining=false"), 1},
		{"pauses of handoffs", relay.sum("holdfast_relay_pause_duration_seconds", "mode=handoff"), moved},
		{"pauses of resumes", relay.sum("holdfast_relay_pause_duration_seconds", "mode=resume"), resumed},
		{"last phases of handoffs", relay.sum("holdfast_relay_move_phase_duration_seconds", "phase=ack_to_receipt"), moved},
		{"phases of resumes", relay.sum("holdfast_relay_move_phase_duration_seconds", "phase=resume"), resumed},
		{"refused clients", relay.sum("holdfast_relay_errors_total", "error_type=UNEXPECTED_MESSAGE"), 1},
		{"moved for the app server", server.sum("holdfast_appserver_moves_total", "outcome=moved"), moved},
		{"pauses of the app server", server.sum("holdfast_appserver_pause_duration_seconds"), moved},
		{"connections of the app server", server.sum("holdfast_appserver_connections"), 0},
		{"server connections of the app server", server.sum("holdfast_appserver_server_connections"), 1},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.what, c.got, c.want)
		}
	}
	frames, batches := relay.sum("holdfast_relay_frames_total"), relay.sum("holdfast_relay_batches_total")
	if bytes := relay.sum("holdfast_relay_io_bytes_total"); frames < 10*clients || batches < clients || bytes < 10*frames {
		t.Errorf("%v frames in %v batches of %v bytes", frames, batches, bytes)
	}
}

// id is what names one connection, server connection or process.
var id = regexp.MustCompile(`^[0-9a-f]{16}$|/\d+$|^app-1$|:\d+$`)

// checkLabels checks that no label has a value for each of what there may be any number of.
func checkLabels(t *testing.T, got families) {
	t.Helper()
	for name, family := range got {
		if !strings.HasPrefix(name, "holdfast_") {
			continue
		}
		if n := len(family.GetMetric()); n > 36 {
			t.Errorf("%s has %d time series", name, n)
		}
		for _, m := range family.GetMetric() {
			for _, l := range m.GetLabel() {
				if id.MatchString(l.GetValue()) {
					t.Errorf("%s has the label %s=%q", name, l.GetName(), l.GetValue())
				}
			}
		}
	}
}

var (
	metricName = regexp.MustCompile(`\bholdfast_(relay|appserver)_[a-z_]+`)
	suffix     = regexp.MustCompile(`_(bucket|sum|count)$`)
)

// checkNames checks that what rules, dashboard and docs name exists, and that the docs name all there is.
func checkNames(t *testing.T, relay, server families) {
	t.Helper()
	all := maps.Clone(relay)
	maps.Copy(all, server)
	for _, path := range []string{
		"../../deploy/observability/rules.yml", "../../deploy/observability/grafana/dashboards/holdfast.json", "../../docs/telemetry.md",
	} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		named := make(map[string]bool)
		for _, name := range metricName.FindAllString(string(text), -1) {
			if family := all[suffix.ReplaceAllString(name, "")]; family.GetType() == dto.MetricType_HISTOGRAM {
				name = suffix.ReplaceAllString(name, "")
			}
			named[name] = true
		}
		if len(named) < 3 {
			t.Errorf("%s names only %d metrics", path, len(named))
		}
		for name := range named {
			if all[name] == nil {
				t.Errorf("%s names %s, which is not there", path, name)
			}
		}
		if !strings.HasSuffix(path, ".md") {
			continue
		}
		for name := range all {
			if strings.HasPrefix(name, "holdfast_") && !named[name] {
				t.Errorf("%s does not name %s", path, name)
			}
		}
	}
}
