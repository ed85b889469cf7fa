package faults_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast/holdfast/pkg/verify"
)

// What each client sends in a second, and how often the application counts for it meanwhile.
const (
	rate     = 10
	counting = 100 * time.Millisecond
)

// The bytes of a message. A client with large ones fills its window when a path stands still for three seconds.
const (
	small = 64
	large = 10 << 10
)

// fleet is a number of clients in a process of their own, that number and check every message.
type fleet struct {
	t       *testing.T
	process *process
	clients int
	began   time.Time
}

// report is what the clients say at their end.
type report struct {
	Clients        int
	Sent, Received uint64
	verify.Tally
	CutInFlight uint64 `json:"cut_in_flight"`
	Unfinished  int
	ByIngress   []struct {
		Ingress      string
		Clients      int
		Disconnected uint64
		Reasons      map[string]uint64
	} `json:"by_ingress"`
	Refused   map[string]uint64
	MaxGapP99 float64 `json:"max_gap_p99_ms"`
	Seconds   float64
}

// startFleet starts clients that connect to the address and send messages of so many bytes.
func (s *system) startFleet(name string, clients, bytes int, address string) *fleet {
	s.t.Helper()
	p := start(s.t, s.at, name, s.tool, "--output", "json", "traffic",
		"--addresses", address, "--clients", strconv.Itoa(clients), "--size", strconv.Itoa(bytes),
		"--rate", strconv.Itoa(rate), "--count-interval", counting.String(), "--report", "1s", "--stop-grace", "15s")
	return &fleet{s.t, p, clients, time.Now()}
}

// stop ends the traffic in good order, waits for all that is under way, and returns what the clients saw.
func (f *fleet) stop() report {
	f.t.Helper()
	lasted := time.Since(f.began)
	failed := f.process.stop(syscall.SIGINT) // Fails when the report does, which says it better.
	raw, err := os.ReadFile(f.process.out)
	if err != nil {
		f.t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(raw, &r); err != nil {
		f.t.Fatalf("the clients' report: %v: %v\n%s", err, failed, raw)
	}
	f.t.Logf("%s: %d clients sent %d messages and received %d in %.0f s; the longest silence of a client p99 %.0f ms",
		f.process.name, r.Clients, r.Sent, r.Received, r.Seconds, r.MaxGapP99)
	// A sender waits while its window is full, and a busy machine is slow, but a tenth of the rate there has to be.
	if least := uint64(float64(f.clients)*lasted.Seconds()*rate) / 10; r.Sent < least || r.Received < least {
		f.t.Errorf("%s: too little traffic to judge by: %d messages sent and %d received, want %d at least",
			f.process.name, r.Sent, r.Received, least)
	}
	return r
}

// faults returns what is wrong with the messages.
func (r report) faults() (problems []string) {
	if !r.Clean() || r.Unfinished > 0 {
		problems = append(problems, fmt.Sprintf("messages: %s; %d clients did not end in time", r.Tally, r.Unfinished))
	}
	return problems
}

// disconnected returns by reason how many clients were disconnected.
func (r report) disconnected() map[string]uint64 {
	all := map[string]uint64{}
	for _, in := range r.ByIngress {
		for reason, n := range in.Reasons {
			all[reason] += n
		}
	}
	return all
}

// problems returns everything that a client noticed.
func (r report) problems(clients int) []string {
	problems := r.faults()
	if all := r.disconnected(); len(all) > 0 || r.CutInFlight > 0 {
		problems = append(problems, fmt.Sprintf("disconnected: %v; %d messages under way", all, r.CutInFlight))
	}
	if len(r.Refused) > 0 {
		problems = append(problems, fmt.Sprintf("refused: %v", r.Refused))
	}
	known := 0
	for _, in := range r.ByIngress {
		known += in.Clients
	}
	if r.Clients != clients || known != clients {
		problems = append(problems, fmt.Sprintf("%d clients ran and %d connected, want %d", r.Clients, known, clients))
	}
	return problems
}

// unharmed stops the clients and fails the test for everything that one of them noticed.
func (f *fleet) unharmed() {
	f.t.Helper()
	for _, problem := range f.stop().problems(f.clients) {
		f.t.Errorf("%s: %s", f.process.name, problem)
	}
}

// A verdict that cannot fail proves nothing.
func TestVerdict(t *testing.T) {
	const sound = `"clients":2,"by_ingress":[{"clients":2}]`
	cases := map[string]string{
		"lost":          `{` + sound + `,"lost":1}`,
		"doubled":       `{` + sound + `,"doubled":1}`,
		"reordered":     `{` + sound + `,"reordered":1}`,
		"corrupted":     `{` + sound + `,"corrupted":1}`,
		"unfinished":    `{` + sound + `,"unfinished":1}`,
		"cut in flight": `{` + sound + `,"cut_in_flight":1}`,
		"refused":       `{` + sound + `,"refused":{"a: UNAVAILABLE":1}}`,
		"disconnected":  `{"clients":2,"by_ingress":[{"clients":2,"disconnected":1,"reasons":{"UNAVAILABLE":1}}]}`,
		"too few":       `{"clients":2,"by_ingress":[{"clients":1}]}`,
		"nobody":        `{}`,
	}
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		if got := judged(t, cases[name]); len(got) != 1 {
			t.Errorf("%s: got %q, want one problem", name, got)
		}
	}
	if got := judged(t, `{`+sound+`}`); len(got) != 0 {
		t.Errorf("nothing is wrong, but got %q", got)
	}
}

func judged(t *testing.T, raw string) []string {
	t.Helper()
	var r report
	if err := json.Unmarshal([]byte(raw), &r); err != nil {
		t.Fatal(err)
	}
	return r.problems(2)
}
