package bench

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func short2(v float64) string { return fmt.Sprintf("%.2f", v) }

// parse reads all of an XML document and returns what its texts say.
func parse(t *testing.T, raw []byte) []string {
	t.Helper()
	var texts []string
	for decoder := xml.NewDecoder(bytes.NewReader(raw)); ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return texts
		}
		if err != nil {
			t.Fatalf("not well formed: %v\n%s", err, raw)
		}
		if text, ok := token.(xml.CharData); ok {
			texts = append(texts, string(text))
		}
	}
}

func TestPlotsAreWellFormed(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "plots")
	if err := sample().WritePlots(dir); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{
		"throughput.svg":    {"messages a second (logarithmic)", "holdfast-batch", "streams (logarithmic)", "100", "1000"},
		"cpu.svg":           {"µs a message", "appserver", "haproxy"},
		"growth-cost.svg":   {"µs a message", "flat"},
		"growth-memory.svg": {"KiB a stream", "flat"},
		"growth-moves.svg":  {"seconds (logarithmic)", "linear"},
	} {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
			continue
		}
		texts := parse(t, raw)
		for _, text := range want {
			if !slices.Contains(texts, text) {
				t.Errorf("%s: no %q in %q", name, text, texts)
			}
		}
		if bytes.Contains(raw, []byte("NaN")) || bytes.Contains(raw, []byte("Inf")) {
			t.Errorf("%s has a figure that is none:\n%s", name, raw)
		}
	}
}

// One point, points of the same height, and names that XML has to escape are all fine.
func TestPlotsOfLittle(t *testing.T) {
	t.Parallel()
	for _, c := range []chart{
		{title: `<&">`, lines: []line{{name: "<one>", points: [][2]float64{{1, 0}}}}},
		{logY: true, lines: []line{{points: [][2]float64{{100, 5}, {200, 5}}}}},
	} {
		if raw := c.draw(); parse(t, raw) == nil || bytes.Contains(raw, []byte("NaN")) || bytes.Contains(raw, []byte("Inf")) {
			t.Errorf("%s", raw)
		}
	}
	dir := t.TempDir()
	if err := new(Result).WritePlots(dir); err != nil {
		t.Error(err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 0 {
		t.Errorf("plots of nothing: %v", files)
	}
}

func TestSteps(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		most float64
		want int
	}{{0, 1}, {10, 6}, {37, 8}, {100, 6}, {99, 10}} {
		if got := steps(c.most); len(got) != c.want {
			t.Errorf("up to %v: %v", c.most, got)
		}
	}
}
