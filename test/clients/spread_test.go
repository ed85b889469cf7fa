package clients_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	crowdSize = 5000
	// spreadWindow is what they are spread over, and bins is into how many parts it is cut to see that they are.
	spreadWindow = 10 * time.Second
	bins         = 20
	// mostTCP is how many TCP connections they may open to come in by the other way: with 100 on each, 50 are needed.
	mostTCP = 100
)

// line is one line that the crowd writes.
type line struct {
	Kind, Ingress, Relay, Why string
	At                        time.Time
	Interrupted               time.Duration
	TCP                       int
}

// crowd is a process of very many clients.
type crowd struct {
	t       *testing.T
	process *process
	in      io.Closer
	say     io.Writer
	lines   <-chan line
}

// startCrowd starts them, and returns when all are connected, through the first address.
func startCrowd(t *testing.T, addresses ...string) *crowd {
	t.Helper()
	c := &crowd{t: t}
	var out io.Reader
	c.process = start(t, func(cmd *exec.Cmd) {
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		c.in, c.say = in, in
		cmd.Stdout = nil
		if out, err = cmd.StdoutPipe(); err != nil {
			t.Fatal(err)
		}
	}, "crowd", program(t, "crowd"), "--clients", strconv.Itoa(crowdSize), "--addresses", strings.Join(addresses, ","))
	lines := make(chan line, 4*crowdSize) // all that there are to be, so that nobody waits
	c.lines = lines
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(lines)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			var l line
			if err := json.Unmarshal(scanner.Bytes(), &l); err != nil {
				t.Errorf("the crowd says %q: %v", scanner.Text(), err)
				return
			}
			lines <- l
		}
	}()
	t.Cleanup(func() {
		c.process.kill() // Does nothing when it has ended.
		<-read
	})
	return c
}

// next returns the next line of the kind and, in order, what came before it.
func (c *crowd) next(kind string) (found line, before []line) {
	c.t.Helper()
	over := time.NewTimer(2 * readyTimeout)
	defer over.Stop()
	for {
		select {
		case l, open := <-c.lines:
			if !open {
				c.t.Fatalf("the crowd ended before it said %q:\n%s", kind, c.process.tail())
			}
			if l.Kind == kind {
				return l, before
			}
			before = append(before, l)
		case <-over.C:
			c.t.Fatalf("the crowd did not say %q in %v; it said %d other things", kind, 2*readyTimeout, len(before))
		}
	}
}

// Thousands of clients of an ingress that is about to be reloaded come in by the other way evenly over the time that they are given,
// and none is lost.
func TestSpread(t *testing.T) {
	load := loadPerCPU(t)
	s := startSystem(t, "--reconnect-window", spreadWindow.String())
	one, a, b := s.relays[0], s.ingresses[0], s.ingresses[1]
	c := startCrowd(t, a.servers[0], b.clients) // through ingress a they all come to relay one
	connected, _ := c.next("connected")
	if _, err := io.WriteString(c.say, "open\n"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), readyTimeout)
	defer cancel()
	begin := time.Now()
	p, err := one.announce(ctx, a.id)
	if err != nil {
		t.Fatal(err)
	}
	if p.GetClientsAsked() != crowdSize || p.GetClientsMoved() != crowdSize || !p.GetSafeToReload() {
		t.Errorf("the relay asked %d clients and %d moved, safe to reload: %t; want %d, all of them, and true",
			p.GetClientsAsked(), p.GetClientsMoved(), p.GetSafeToReload(), crowdSize)
	}
	_ = c.in.Close()
	ended, lines := c.next("ended")
	most := judgeArrivals(t, begin, lines)
	switch {
	case load > busy:
		t.Logf("SKIPPED: %.0f processes waited for each CPU before the test began, so that it does not judge when clients came", load)
	case most > 2*crowdSize/bins:
		t.Errorf("%d clients came within %v, more than twice the mean of %d", most, spreadWindow/bins, crowdSize/bins)
	}
	if opened := ended.TCP - connected.TCP; opened > mostTCP {
		t.Errorf("%d TCP connections were opened to move, want %d at most", opened, mostTCP)
	}
	<-c.process.ended
	c.process.stopping.Store(true) // as it should
	if c.process.result != nil {
		t.Errorf("the crowd: %v\n%s", c.process.result, c.process.tail())
	}
}

// judgeArrivals fails the test unless each client has come once, and returns how many came in the fullest part of the window.
func judgeArrivals(t *testing.T, begin time.Time, lines []line) (most int) {
	t.Helper()
	arrived := make([]int, bins) // and more, for those that come late
	var last, interrupted time.Duration
	relays := map[string]int{}
	for _, l := range lines {
		if l.Kind != "recovered" || l.Ingress != "b" {
			t.Errorf("a client says %+v, want that it has recovered through ingress b", l)
			continue
		}
		interrupted = max(interrupted, l.Interrupted)
		relays[l.Relay]++
		took := l.At.Sub(begin)
		last = max(last, took)
		bin := int(took * bins / spreadWindow)
		arrived = append(arrived, make([]int, max(bin+1-len(arrived), 0))...)
		arrived[bin]++
	}
	t.Logf("arrivals by %v: %v; the last after %v; at relays %v; the longest time with no stream %v", spreadWindow/bins, arrived,
		last.Round(time.Millisecond), relays, interrupted.Round(time.Millisecond))
	if len(lines) != crowdSize {
		t.Errorf("%d clients moved, want %d once each", len(lines), crowdSize)
	}
	return slices.Max(arrived)
}

// busy is from how many processes a CPU on, that run or would like to, the machine is too busy to say when something happens.
const busy = 3

func loadPerCPU(t *testing.T) float64 {
	t.Helper()
	raw, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		t.Fatal(err)
	}
	load, err := strconv.ParseFloat(strings.Fields(string(raw))[0], 64)
	if err != nil {
		t.Fatal(err)
	}
	return load / float64(runtime.NumCPU())
}
