package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ticksPerSecond is the unit of CPU time in /proc; Linux has this one for all programs on all machines.
const ticksPerSecond = 100

// usage is what a process has used.
type usage struct {
	cpu time.Duration
	rss uint64 // resident memory in bytes
}

// proc reads what the system says about processes.
type proc struct{ root string }

var systemProc = proc{"/proc"}

// usage returns what a process and its children use: the worker processes of nginx are children.
func (p proc) usage(pid int) (usage, error) {
	total := usage{}
	children, err := p.children(pid)
	if err != nil {
		return usage{}, err
	}
	for _, id := range append(children, pid) {
		u, err := p.one(id)
		if err != nil {
			return usage{}, err
		}
		total.cpu, total.rss = total.cpu+u.cpu, total.rss+u.rss
	}
	return total, nil
}

func (p proc) one(pid int) (usage, error) {
	dir := filepath.Join(p.root, strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return usage{}, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return usage{}, fmt.Errorf("memory of process %d: %w", pid, err)
	}
	u := usage{}
	if u.cpu, err = parseStat(stat); err == nil {
		u.rss, err = parseKilobytes(status, "VmRSS:")
	}
	if err != nil {
		return usage{}, fmt.Errorf("process %d: %w", pid, err)
	}
	return u, nil
}

// children returns the ids of the children of the main thread; none where the kernel does not tell them.
func (p proc) children(pid int) ([]int, error) {
	id := strconv.Itoa(pid)
	raw, err := os.ReadFile(filepath.Join(p.root, id, "task", id, "children"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("children of process %d: %w", pid, err)
	}
	var children []int
	for field := range strings.FieldsSeq(string(raw)) {
		child, err := strconv.Atoi(field)
		if err != nil {
			return nil, fmt.Errorf("children of process %d: %w", pid, err)
		}
		children = append(children, child)
	}
	return children, nil
}

// parseStat returns the CPU time in the content of /proc/PID/stat: user and system time of all threads. The name
// of the program stands in parentheses and may have any character.
func parseStat(stat []byte) (time.Duration, error) {
	end := bytes.LastIndexByte(stat, ')')
	fields := strings.Fields(string(stat[end+1:]))
	// Field 3 of the manual is the first one after the name; 14 and 15 are the times.
	if end < 0 || len(fields) < 13 {
		return 0, fmt.Errorf("stat has another form than known: %.60q", stat)
	}
	ticks := uint64(0)
	for _, field := range fields[11:13] {
		n, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("CPU time: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / ticksPerSecond), nil
}

// parseKilobytes returns the bytes that a line such as "VmRSS: 12 kB" tells.
func parseKilobytes(text []byte, key string) (uint64, error) {
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[0] != key || fields[2] != "kB" {
			continue
		}
		n, err := strconv.ParseUint(fields[1], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s %w", key, err)
		}
		return n << 10, nil
	}
	return 0, fmt.Errorf("no line begins with %s", key)
}

// available returns the bytes of memory that can be had without swapping.
func (p proc) available() (uint64, error) {
	raw, err := os.ReadFile(filepath.Join(p.root, "meminfo"))
	if err != nil {
		return 0, err
	}
	return parseKilobytes(raw, "MemAvailable:")
}

// ownCPU returns the CPU time of this process.
func ownCPU() (time.Duration, error) {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return 0, fmt.Errorf("CPU time of the client: %w", err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano()), nil
}

// fileLimit returns how many files this process may have open; the runtime has raised it as far as it may.
func fileLimit() (uint64, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("limit of open files: %w", err)
	}
	return limit.Cur, nil
}
