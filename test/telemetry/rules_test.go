package telemetry_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

const observability = "../../deploy/observability/"

// The rules pass promtool's own tests, and the configuration its check.
func TestRules(t *testing.T) {
	promtool := findPromtool(t)
	for _, args := range [][]string{{"check", "config", "prometheus.yml"}, {"test", "rules", "rules_test.yml"}} {
		cmd := exec.CommandContext(t.Context(), promtool, args...)
		cmd.Dir = observability
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

// findPromtool returns the path of promtool. The test set-up gets it.
func findPromtool(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("promtool"); err == nil {
		return path
	}
	path, err := filepath.Abs("../../bin/tools/promtool")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Skip("SKIPPED: promtool is not there, so that the alert rules and the dashboard were NOT tested; make setup gets it")
	}
	return path
}

// Each rule has a test in which it fires.
func TestEachRuleIsTested(t *testing.T) {
	rules := names(t, "rules.yml", `(?m)- alert: (\w+)`)
	fired := names(t, "rules_test.yml", `(?m)alertname: (\w+)\n\s+eval_time: \w+\n\s+exp_alerts:`)
	if len(rules) < 5 {
		t.Fatalf("there are only these rules: %v", rules)
	}
	for _, rule := range rules {
		if !slices.Contains(fired, rule) {
			t.Errorf("no test has %s fire", rule)
		}
	}
}

func names(t *testing.T, file, pattern string) (all []string) {
	t.Helper()
	for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(read(t, file), -1) {
		all = append(all, match[1])
	}
	return all
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(observability + file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
