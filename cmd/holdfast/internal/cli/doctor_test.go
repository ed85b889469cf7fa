package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The exit code is 1 for a fault that was found, and 2 for arguments that cannot be used.
func TestDoctor(t *testing.T) {
	admin, _ := startAdmin(t)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// The fake admin is a gRPC server with health, and with no client service: its address stands in for that of an ingress.
	args := []string{"--admin", admin, "doctor", "--addresses", admin, "--wait", "0s", "--token-file", token}
	got := call(t, args...)
	for _, want := range []string{
		"ok       accepts              " + admin + ": ", "ok       health", "failed   admin-port", "grpc_pass grpc://RELAY:7400;",
		"failed   welcome", "failed   server-connections", "3 failed",
	} {
		if got.code != 1 || !strings.Contains(got.out, want) || !strings.Contains(got.errs, "3 checks failed") {
			t.Errorf("want %q: %+v", want, got)
		}
	}
	for _, form := range [][]string{append(args, "--json"), append([]string{"--output", "json"}, args...)} {
		got := call(t, form...)
		var report struct {
			Findings []struct{ Check, Outcome string }
			Failed   int
		}
		if err := json.Unmarshal([]byte(got.out), &report); err != nil || got.code != 1 || report.Failed != 3 || len(report.Findings) < 6 {
			t.Errorf("%+v: %v", got, err)
		}
	}
}

func TestWrongUseOfDoctor(t *testing.T) {
	for want, args := range map[string][]string{
		"--addresses":                   {},
		"unknown flag --nothing":        {"--nothing"},
		"--wait: -1s is not allowed":    {"--addresses", "127.0.0.1:1", "--wait=-1s"},
		`--addresses: "x"`:              {"--addresses", "x"},
		"--token-file: open":            {"--addresses", "127.0.0.1:1", "--token-file", "nowhere"},
		"--ca: open":                    {"--addresses", "127.0.0.1:1", "--ca", "nowhere"},
		"--timeout: expected duration ": {"--addresses", "127.0.0.1:1", "--timeout", "5"},
	} {
		if got := call(t, append([]string{"doctor"}, args...)...); got.code != 2 || got.out != "" || !strings.Contains(got.errs, want) {
			t.Errorf("%v: want %q, got %+v", args, want, got)
		}
	}
}
