package bench

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The subjects, in the order in which they are measured and shown.
const (
	Direct  = "direct"
	Nginx   = "nginx"
	HAProxy = "haproxy"
	Raw     = "raw"
	// Holdfast is the relay with plain clients, Batch the relay with clients that send and take batches.
	Holdfast = "holdfast"
	Batch    = "holdfast-batch"
)

// Subjects has all subjects.
var Subjects = []string{Direct, Nginx, HAProxy, Raw, Holdfast, Batch}

// The parts of a run that can be chosen.
const (
	Cells     = "cells"
	Idle      = "idle"
	Migration = "migration"
	Slow      = "slow"
	Growth    = "growth"
	Clients   = "clients"
	Resume    = "resume"
)

// Parts has all parts.
var Parts = []string{Cells, Idle, Migration, Slow, Growth, Clients, Resume}

// The loads of a cell.
const (
	// Saturation is a closed loop: each echo is answered with the next message.
	Saturation = "saturation"
	// Half is an open loop at half of the subject's own throughput at saturation.
	Half = "half"
	// Ping is a closed loop of one stream with one message in flight.
	Ping = "ping"
)

const (
	minSize, maxSize = headerSize, 1 << 20
	maxStreams       = 50000
	maxRounds        = 100
	maxInflight      = 1024
	minDuration      = 10 * time.Millisecond
	maxDuration      = 10 * time.Minute
)

// Config says what is measured. Sizes, Streams, Rounds and the other numbers have to be set: see Defaults
// and QuickDefaults.
type Config struct {
	Only     []string `json:"only"`
	Subjects []string `json:"subjects"`

	// Sizes are the bytes of a message, Streams the numbers of client streams.
	Sizes   []int `json:"sizes"`
	Streams []int `json:"streams"`
	// Rounds is how often each cell is measured.
	Rounds int `json:"rounds"`
	// Inflight is the number of messages that each stream has under way at saturation.
	Inflight int `json:"inflight"`
	// Warmup is for how long a load runs before it is measured, Duration for how long it is measured.
	Warmup   time.Duration `json:"warmup_ns"`
	Duration time.Duration `json:"duration_ns"`

	// IdleShared and IdleAlone are the streams of the idle scenario that share TCP connections, and those that
	// have one each.
	IdleShared int `json:"idle_shared_streams"`
	IdleAlone  int `json:"idle_alone_streams"`
	// IdleSockets are the idle clients over WebSocket.
	IdleSockets int `json:"idle_sockets"`
	// IdleQuiet is for how long nothing is said before the memory is read.
	IdleQuiet        time.Duration `json:"idle_quiet_ns"`
	MigrationStreams int           `json:"migration_streams"`
	// MigrationDuration is for how long is measured before the moves, and for how long connections are moved.
	MigrationDuration time.Duration `json:"migration_duration_ns"`
	SlowStreams       int           `json:"slow_streams"`
	SlowRounds        int           `json:"slow_rounds"`
	SlowDuration      time.Duration `json:"slow_duration_ns"`
	GrowthStreams     []int         `json:"growth_streams"`

	// ClientStreams are the numbers of streams at which kinds of clients are compared, ClientRounds how often, and ClientDuration
	// for how long each time.
	ClientStreams  []int         `json:"client_streams"`
	ClientRounds   int           `json:"client_rounds"`
	ClientDuration time.Duration `json:"client_duration_ns"`
	// ResumeStreams is how many clients resume when their relay is killed, ResumeRounds how often.
	ResumeStreams int `json:"resume_streams"`
	ResumeRounds  int `json:"resume_rounds"`

	// Relay is the path of the relay; empty: beside the tool's own.
	Relay string `json:"relay_binary,omitempty"`
	// Own is the path of the tool itself, which plays the echo servers; empty: the one that runs.
	Own string `json:"-"`
	// Keep keeps the folder with what the processes wrote.
	Keep bool `json:"-"`
	// Patience is for how long a stream that stopped waits for what is under way.
	Patience time.Duration `json:"-"`
}

// Defaults returns the configuration of a full run.
func Defaults() Config {
	return Config{
		Only: Parts, Subjects: Subjects,
		Sizes: []int{64, 1024}, Streams: []int{1, 100, 1000, 10000}, Rounds: 3, Inflight: 8,
		Warmup: 500 * time.Millisecond, Duration: 2 * time.Second,
		IdleShared: 10000, IdleAlone: 2000, IdleSockets: 10000, IdleQuiet: 15 * time.Second,
		MigrationStreams: 10000, MigrationDuration: 2 * time.Second,
		SlowStreams: 1000, SlowRounds: 5, SlowDuration: time.Second,
		GrowthStreams: []int{100, 1000, 5000, 10000, 20000, 50000},
		ClientStreams: []int{100, 1000}, ClientRounds: 5, ClientDuration: 2 * time.Second,
		ResumeStreams: 10000, ResumeRounds: 3,
		Patience: time.Minute,
	}
}

// QuickDefaults returns the configuration of a run that shows that everything works; its figures say little.
func QuickDefaults() Config {
	c := Defaults()
	c.Sizes, c.Streams, c.Rounds = []int{64}, []int{1, 100, 1000}, 1
	c.Warmup, c.Duration = 100*time.Millisecond, 300*time.Millisecond
	c.IdleShared, c.IdleAlone, c.IdleSockets, c.IdleQuiet = 1000, 200, 200, 500*time.Millisecond
	c.MigrationStreams, c.MigrationDuration = 500, 500*time.Millisecond
	c.SlowStreams, c.SlowRounds, c.SlowDuration = 200, 3, 300*time.Millisecond
	c.GrowthStreams = []int{100, 500}
	c.ClientStreams, c.ClientRounds, c.ClientDuration = []int{100}, 2, 300*time.Millisecond
	c.ResumeStreams, c.ResumeRounds = 500, 1
	return c
}

// has reports whether a part was chosen.
func (c *Config) has(part string) bool { return slices.Contains(c.Only, part) }

// Check says everything that is wrong with the configuration, in the words of the flags.
func (c *Config) Check() error {
	var errs []error
	add := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	add(checkNames("--only", c.Only, Parts))
	add(checkNames("--subjects", c.Subjects, Subjects))
	add(checkNumbers("--sizes", c.Sizes, minSize, maxSize))
	add(checkNumbers("--streams", c.Streams, 1, maxStreams))
	add(checkNumbers("--rounds", []int{c.Rounds}, 1, maxRounds))
	add(checkNumbers("--inflight", []int{c.Inflight}, 1, maxInflight))
	add(checkNumbers("--idle-streams", []int{c.IdleShared}, 1, maxStreams))
	add(checkNumbers("--idle-alone-streams", []int{c.IdleAlone}, 1, maxStreams))
	add(checkNumbers("--idle-sockets", []int{c.IdleSockets}, 1, maxStreams))
	add(checkNumbers("--client-streams", c.ClientStreams, 1, maxStreams))
	add(checkNumbers("--client-rounds", []int{c.ClientRounds}, 1, maxRounds))
	add(checkNumbers("--resume-streams", []int{c.ResumeStreams}, 1, maxStreams))
	add(checkNumbers("--resume-rounds", []int{c.ResumeRounds}, 1, maxRounds))
	add(checkNumbers("--migration-streams", []int{c.MigrationStreams}, 1, maxStreams))
	add(checkNumbers("--growth-streams", c.GrowthStreams, 1, maxStreams))
	add(checkDuration("--duration", c.Duration, minDuration))
	add(checkDuration("--warmup", c.Warmup, 0))
	return errors.Join(errs...)
}

func checkNames(flag string, names, known []string) error {
	if len(names) == 0 {
		return fmt.Errorf("%s: an empty list is not allowed; any of %s is", flag, strings.Join(known, ", "))
	}
	for i, name := range names {
		if !slices.Contains(known, name) {
			return fmt.Errorf("%s: %q is not allowed; any of %s is", flag, name, strings.Join(known, ", "))
		}
		if slices.Contains(names[:i], name) {
			return fmt.Errorf("%s: %q is not allowed twice; each of %s may be named once", flag, name, strings.Join(known, ", "))
		}
	}
	return nil
}

func checkNumbers(flag string, numbers []int, least, most int) error {
	if len(numbers) == 0 {
		return fmt.Errorf("%s: an empty list is not allowed; numbers from %d to %d are", flag, least, most)
	}
	for i, n := range numbers {
		if n < least || n > most {
			return fmt.Errorf("%s: %d is not allowed; %d to %d is", flag, n, least, most)
		}
		if slices.Contains(numbers[:i], n) {
			return fmt.Errorf("%s: %d is not allowed twice; each number may be named once", flag, n)
		}
	}
	return nil
}

func checkDuration(flag string, d, least time.Duration) error {
	if d < least || d > maxDuration {
		return fmt.Errorf("%s: %s is not allowed; %s to %s is", flag, d, least, maxDuration)
	}
	return nil
}
