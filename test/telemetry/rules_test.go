package telemetry_test

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"testing"
)

const observability = "../../deploy/observability/"

// The rules pass promtool's own tests, and the configuration its check.
func TestRules(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("SKIPPED: promtool is not installed, so that the alert rules were NOT tested; make setup installs it")
	}
	for _, args := range [][]string{{"check", "config", "prometheus.yml"}, {"test", "rules", "rules_test.yml"}} {
		cmd := exec.CommandContext(t.Context(), promtool, args...)
		cmd.Dir = observability
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
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
