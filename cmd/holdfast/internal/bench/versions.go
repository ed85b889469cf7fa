package bench

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// Versions says what ran where.
type Versions struct {
	Go       string   `json:"go"`
	GRPC     string   `json:"grpc"`
	Nginx    string   `json:"nginx,omitempty"`
	HAProxy  string   `json:"haproxy,omitempty"`
	Kernel   string   `json:"kernel"`
	CPU      string   `json:"cpu"`
	Cores    int      `json:"cores"`
	Revision string   `json:"revision,omitempty"`
	Command  []string `json:"command"`
}

// number finds the version in what a program says about itself.
var number = regexp.MustCompile(`\d+\.\d+[^\s,]*`)

func versions(ctx context.Context) Versions {
	v := Versions{
		Go: runtime.Version(), Cores: runtime.NumCPU(), Kernel: kernel(), CPU: cpuModel(), Command: os.Args[1:],
		Nginx: programVersion(ctx, Nginx), HAProxy: programVersion(ctx, HAProxy),
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	for _, module := range info.Deps {
		if module.Path == "google.golang.org/grpc" {
			v.GRPC = module.Version
		}
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			v.Revision = setting.Value
		}
	}
	return v
}

// programVersion returns the version of a program of this machine, empty when it has none.
func programVersion(ctx context.Context, program string) string {
	path, err := find(program)
	if err != nil {
		return ""
	}
	said, err := exec.CommandContext(ctx, path, "-v").CombinedOutput()
	if err != nil {
		return ""
	}
	return number.FindString(string(said))
}

func kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}

func cpuModel() string {
	raw, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(raw)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
