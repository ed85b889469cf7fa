package bench

import (
	"strings"
	"testing"
	"time"
)

func TestDefaultsAreAllowed(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]Config{"full": Defaults(), "quick": QuickDefaults()} {
		if err := cfg.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCheckNamesTheFlagAndWhatIsAllowed(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Config){
		`--only: "all" is not allowed; any of cells, idle, migration, slow, growth, clients, resume is`: func(c *Config) { c.Only = []string{"all"} },
		`--only: an empty list is not allowed`:                                 func(c *Config) { c.Only = []string{} },
		`--subjects: "envoy" is not allowed; any of direct, nginx`:             func(c *Config) { c.Subjects = []string{Direct, "envoy"} },
		`--subjects: "raw" is not allowed twice`:                               func(c *Config) { c.Subjects = []string{Raw, Raw} },
		`--sizes: 15 is not allowed; 16 to 1048576 is`:                         func(c *Config) { c.Sizes = []int{64, 15} },
		`--sizes: 1048577 is not allowed; 16 to 1048576 is`:                    func(c *Config) { c.Sizes = []int{1<<20 + 1} },
		`--streams: 0 is not allowed; 1 to 50000 is`:                           func(c *Config) { c.Streams = []int{0} },
		`--streams: 50001 is not allowed; 1 to 50000 is`:                       func(c *Config) { c.Streams = []int{50001} },
		`--streams: 7 is not allowed twice`:                                    func(c *Config) { c.Streams = []int{7, 7} },
		`--streams: an empty list is not allowed; numbers from 1 to 50000 are`: func(c *Config) { c.Streams = nil },
		`--rounds: 101 is not allowed; 1 to 100 is`:                            func(c *Config) { c.Rounds = 101 },
		`--inflight: 0 is not allowed; 1 to 1024 is`:                           func(c *Config) { c.Inflight = 0 },
		`--idle-streams: 0 is not allowed`:                                     func(c *Config) { c.IdleShared = 0 },
		`--idle-alone-streams: -1 is not allowed`:                              func(c *Config) { c.IdleAlone = -1 },
		`--idle-sockets: 0 is not allowed; 1 to 50000 is`:                      func(c *Config) { c.IdleSockets = 0 },
		`--client-streams: an empty list is not allowed`:                       func(c *Config) { c.ClientStreams = nil },
		`--client-rounds: 0 is not allowed; 1 to 100 is`:                       func(c *Config) { c.ClientRounds = 0 },
		`--resume-streams: 50001 is not allowed`:                               func(c *Config) { c.ResumeStreams = 50001 },
		`--resume-rounds: 101 is not allowed; 1 to 100 is`:                     func(c *Config) { c.ResumeRounds = 101 },
		`--migration-streams: 0 is not allowed`:                                func(c *Config) { c.MigrationStreams = 0 },
		`--growth-streams: 60000 is not allowed`:                               func(c *Config) { c.GrowthStreams = []int{60000} },
		`--duration: 1ms is not allowed; 10ms to 10m0s is`:                     func(c *Config) { c.Duration = time.Millisecond },
		`--warmup: -1s is not allowed; 0s to 10m0s is`:                         func(c *Config) { c.Warmup = -time.Second },
	} {
		cfg := Defaults()
		change(&cfg)
		if err := cfg.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// The bytes under way on a stream stay below the least window, or one message is.
func TestInflightFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ wanted, size, want int }{
		{8, 64, 8}, {8, 1024, 8}, {1024, 64, 896}, {8, 16 << 10, 3}, {8, 1 << 20, 1}, {1, 64, 1},
	} {
		if got := inflightFor(c.wanted, c.size); got != c.want {
			t.Errorf("%d of %d bytes: got %d, want %d", c.wanted, c.size, got, c.want)
		}
	}
}
