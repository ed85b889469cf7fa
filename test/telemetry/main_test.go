// Package telemetry_test looks at the telemetry of the real programs from outside: what a scrape returns over HTTP, and what a
// receiver of OTLP gets, while connections are moved and resumed.
package telemetry_test

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestTelemetry runs traffic, moves it off an ingress, kills the other, and looks at what was measured and traced.
func TestTelemetry(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: it builds and runs the real programs, and -short was given")
	}
	r := startReceiver(t)
	s := startSystem(t, r.address)
	s.moveAndResume()
	s.breakARule()
	s.waitHeartbeat()
	during := s.scrape(s.admin)
	if n := during.sum("holdfast_relay_client_connections", "ingress=direct"); n != clients {
		t.Errorf("%v client connections are shown, want %d", n, clients)
	}
	if n := during.sum("holdfast_relay_logical_connections", "ingress=a", "application=echo"); n != clients {
		t.Errorf("%v logical connections are shown over ingress a, want %d", n, clients)
	}
	s.stopTraffic()

	relay, server := s.scrape(s.admin), s.scrape(s.metrics)
	relay["holdfast_relay_client_connections"] = during["holdfast_relay_client_connections"] // there are none any more
	t.Run("metrics of the relay", func(t *testing.T) { checkFamilies(t, relay, "holdfast_relay_", relayFamilies) })
	t.Run("metrics of the app server", func(t *testing.T) { checkFamilies(t, server, "holdfast_appserver_", serverFamilies) })
	t.Run("values", func(t *testing.T) { checkValues(t, relay, server) })
	t.Run("labels", func(t *testing.T) {
		checkLabels(t, relay)
		checkLabels(t, server)
	})
	t.Run("names in rules, dashboard and docs", func(t *testing.T) { checkNames(t, relay, server) })

	s.stop() // which sends what was not sent yet
	t.Run("traces", func(t *testing.T) { checkTraces(t, r, relay) })
	t.Run("metrics over OTLP", func(t *testing.T) { checkPushed(t, r) })
}
