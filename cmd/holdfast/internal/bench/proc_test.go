package bench

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// write makes files below a folder that stands for /proc.
func write(t *testing.T, files map[string]string) proc {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return proc{root}
}

const (
	// The name of the program is as nasty as it may be.
	statOf7 = "7 (a) b (c)) S 1 7 7 0 -1 4194560 3384 397929 0 188 250 50 1139 336 20 0 1 0 442249 5124096 946 1 2\n"
	statOf8 = "8 (worker) S 7 7 7 0 -1 4194560 3384 397929 0 188 100 0 0 0 20 0 1 0 442249 5124096 946 1 2\n"
)

func TestUsageCountsChildren(t *testing.T) {
	t.Parallel()
	p := write(t, map[string]string{
		"7/stat": statOf7, "7/status": "Name:\ta\nVmHWM:\t 9 kB\nVmRSS:\t    100 kB\n", "7/task/7/children": "8 ",
		"8/stat": statOf8, "8/status": "VmRSS:\t    24 kB\n", "8/task/8/children": "",
		"meminfo": "MemTotal: 5 kB\nMemAvailable:   2 kB\n",
	})
	got, err := p.usage(7)
	if want := (usage{cpu: 4 * time.Second, rss: 124 << 10}); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if got, err := p.available(); err != nil || got != 2<<10 {
		t.Errorf("available: got %d, %v", got, err)
	}
}

func TestUsageOfWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	for name, files := range map[string]map[string]string{
		"no process":     {},
		"short stat":     {"7/stat": "7 (a) S 1 2 3\n", "7/status": "VmRSS: 1 kB\n"},
		"no name":        {"7/stat": "7 S 1 2 3\n", "7/status": "VmRSS: 1 kB\n"},
		"no memory":      {"7/stat": statOf7, "7/status": "Name: a\n"},
		"memory in bits": {"7/stat": statOf7, "7/status": "VmRSS: x kB\n"},
		"strange child":  {"7/stat": statOf7, "7/status": "VmRSS: 1 kB\n", "7/task/7/children": "x"},
	} {
		if got, err := write(t, files).usage(7); err == nil {
			t.Errorf("%s: no error, but %+v", name, got)
		}
	}
}

func TestUsageOfThisProcess(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("no /proc here")
	}
	if u, err := systemProc.usage(os.Getpid()); err != nil || u.rss == 0 {
		t.Errorf("got %+v, %v", u, err)
	}
	if cpu, err := ownCPU(); err != nil || cpu <= 0 {
		t.Errorf("got %s, %v", cpu, err)
	}
}
