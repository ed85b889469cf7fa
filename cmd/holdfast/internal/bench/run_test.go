package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// tiny is a run that needs no program but the test's own.
func tiny() Config {
	cfg := QuickDefaults()
	cfg.Only, cfg.Subjects, cfg.Streams = []string{Cells}, []string{Direct, Raw}, []int{1, 10}
	cfg.Warmup, cfg.Duration, cfg.Own = 10*time.Millisecond, 100*time.Millisecond, os.Args[0]
	return cfg
}

func TestRun(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the benchmark runs on Linux only")
	}
	var lines bytes.Buffer
	r, err := Run(t.Context(), tiny(), &lines)
	if err != nil {
		t.Fatalf("%v\n%s", err, lines.String())
	}
	if err := r.Err(); err != nil {
		t.Error(err)
	}
	// Two subjects, each with saturation and half load twice, and ping once.
	if len(r.Cells) != 10 {
		t.Errorf("%d cells, want 10", len(r.Cells))
	}
	for _, c := range r.Cells {
		if m := c.Median; m == nil || m.PerSecond <= 0 || m.RSS["echo"] == 0 || len(m.CPU) < 2 {
			t.Errorf("%s: %+v", c.name(), m)
		}
	}
	if r.Versions.GRPC == "" && r.Versions.Go == "" {
		t.Errorf("versions: %+v", r.Versions)
	}
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	again := new(Result)
	if err := json.Unmarshal(raw, again); err != nil || len(again.Cells) != 10 || len(again.Goals) != len(goals) {
		t.Errorf("read again: %v, %d cells, %d goals", err, len(again.Cells), len(again.Goals))
	}
}

func TestRunRefusesAWrongConfiguration(t *testing.T) {
	cfg := tiny()
	cfg.Rounds = 0
	if _, err := Run(t.Context(), cfg, new(bytes.Buffer)); err == nil || !strings.Contains(err.Error(), "--rounds: 0") {
		t.Errorf("got %v", err)
	}
}

func TestRunWithoutTheRelay(t *testing.T) {
	cfg := tiny()
	cfg.Subjects, cfg.Relay = []string{Holdfast}, "/nowhere/relay"
	if _, err := Run(t.Context(), cfg, new(bytes.Buffer)); err == nil || !strings.Contains(err.Error(), "/nowhere/relay") {
		t.Errorf("got %v", err)
	}
}

// An interruption ends the run, and what it started.
func TestRunInterrupted(t *testing.T) {
	cfg := tiny()
	cfg.Duration = time.Minute
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := Run(ctx, cfg, new(bytes.Buffer)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestSkippedAloud(t *testing.T) {
	var lines bytes.Buffer
	r := &run{lines: &lines, result: &Result{Skipped: map[string]string{}}}
	r.skip(Nginx, "nginx is not installed")
	if r.result.Skipped[Nginx] == "" || !strings.Contains(lines.String(), "SKIPPED: nginx: nginx is not installed") {
		t.Errorf("%v, %s", r.result.Skipped, lines.String())
	}
}
