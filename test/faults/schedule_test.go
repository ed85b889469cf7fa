package faults_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/test/faults/tcpproxy"
)

// kind is a kind of fault.
type kind string

const (
	cut       kind = "cut"
	hangUp    kind = "hang up"
	longStall kind = "long stall"
	stall     kind = "short stall"
	delay     kind = "delay"
	throttle  kind = "throttle"
)

var (
	// slowing kinds leave the server connection, cutting ones cost it.
	slowing = []kind{stall, delay, throttle}
	cutting = []kind{cut, hangUp, longStall}
)

// fault is one fault of one path.
type fault struct {
	kind    kind
	lasts   time.Duration
	setting tcpproxy.Faults
}

func (f fault) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s for %v", f.kind, f.lasts.Round(time.Millisecond))
	if f.setting.StallUp != f.setting.StallDown {
		fmt.Fprintf(&b, ", up %v, down %v", f.setting.StallUp, f.setting.StallDown)
	}
	if f.setting.Refuse {
		b.WriteString(", refusing")
	}
	if f.setting.Delay > 0 {
		fmt.Fprintf(&b, ", %v", f.setting.Delay.Round(time.Millisecond))
	}
	if f.setting.Rate > 0 {
		fmt.Fprintf(&b, ", %d KiB/s", f.setting.Rate>>10)
	}
	return b.String()
}

// step is a fault for each of the first paths in an order.
type step struct {
	pause  time.Duration // before it
	faults []fault
	// busiest orders the paths by what they carry, so that the faults hit something; without it order does.
	busiest bool
	order   []int
}

func (s step) lasts() time.Duration {
	longest := time.Duration(0)
	for _, f := range s.faults {
		longest = max(longest, f.lasts)
	}
	return longest
}

// seed returns what the schedule is drawn from, and says how to repeat it.
func seed(t *testing.T) uint64 {
	t.Helper()
	n := rand.Uint64()
	if text := os.Getenv("HOLDFAST_SEED"); text != "" {
		var err error
		if n, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("HOLDFAST_SEED=%q: %v", text, err)
		}
	}
	t.Logf("HOLDFAST_SEED=%d repeats the schedule", n)
	return n
}

// deck gives the kinds in a random order, each as often as every other.
type deck struct {
	kinds, left []kind
	random      *rand.Rand
}

func (d *deck) draw() fault {
	if len(d.left) == 0 {
		d.left = slices.Clone(d.kinds)
		d.random.Shuffle(len(d.left), func(i, j int) { d.left[i], d.left[j] = d.left[j], d.left[i] })
	}
	f := fault{kind: d.left[0], lasts: d.between(500*time.Millisecond, 2*time.Second)}
	d.left = d.left[1:]
	switch f.kind {
	case cut, hangUp:
		f.setting.Refuse = d.random.IntN(2) == 0
	case stall:
		f.setting, f.lasts = d.direction(), d.between(silence/6, silence/2)
	case longStall:
		f.setting, f.lasts = d.direction(), d.between(silence+time.Second, silence+3*time.Second)
	case delay:
		f.setting.Delay = d.between(5*time.Millisecond, 150*time.Millisecond)
	case throttle:
		f.setting.Rate = 128<<10 + d.random.IntN(512<<10)
	}
	return f
}

// direction draws a stall: half of them both ways.
func (d *deck) direction() tcpproxy.Faults {
	return [...]tcpproxy.Faults{
		{StallUp: true}, {StallDown: true}, {StallUp: true, StallDown: true}, {StallUp: true, StallDown: true},
	}[d.random.IntN(4)]
}

func (d *deck) between(least, most time.Duration) time.Duration {
	return least + time.Duration(d.random.Int64N(int64(most-least)))
}

// schedule draws steps that take about so long in all. The first one hits the busiest path, with a cut if that is among
// the kinds. Every sixth does one and the same to all paths at once, and cuts if it may, for far less than the park time.
func schedule(seed uint64, paths int, kinds []kind, lasts time.Duration) []step {
	random := rand.New(rand.NewPCG(seed, 0))
	d, everywhere := &deck{kinds: kinds, random: random}, &deck{kinds: kinds, random: random}
	if slices.Contains(kinds, cut) {
		d.left, everywhere.kinds = []kind{cut}, cutting
	}
	var steps []step
	for total := time.Duration(0); total < lasts; {
		s := step{
			pause:   d.between(100*time.Millisecond, time.Second),
			busiest: len(steps) == 0 || random.IntN(3) > 0, order: random.Perm(paths),
		}
		if len(steps)%6 == 2 {
			s.faults = slices.Repeat([]fault{everywhere.draw()}, paths)
		} else {
			for range 1 + random.IntN(2) {
				s.faults = append(s.faults, d.draw())
			}
		}
		steps = append(steps, s)
		total += s.pause + s.lasts()
	}
	return steps
}

// The schedule can be repeated, has every kind of fault, and takes about as long as it should.
func TestSchedule(t *testing.T) {
	kinds := slices.Concat(slowing, cutting)
	const lasts = time.Minute
	a, b := schedule(7, 3, kinds, lasts), schedule(7, 3, kinds, lasts)
	if fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("one seed, two schedules:\n%v\n%v", a, b)
	}
	if first := a[0]; !first.busiest || first.faults[0].kind != cut {
		t.Errorf("the first step is %v", first)
	}
	total, seen, all := time.Duration(0), map[kind]int{}, 0
	for _, s := range a {
		total += s.pause + s.lasts()
		for _, f := range s.faults {
			seen[f.kind]++
		}
		if len(s.faults) == 3 {
			all++
		}
	}
	for _, k := range kinds {
		if seen[k] < 2 {
			t.Errorf("%d faults of kind %q in a minute", seen[k], k)
		}
	}
	if total < lasts || total > lasts+10*time.Second || all == 0 {
		t.Errorf("the schedule takes %v and hits all paths %d times", total, all)
	}
}
