package hostile_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// isReason matches a refusal with one reason of ours.
var isReason = regexp.MustCompile(`^[A-Z_]+$`)

// counted returns how often the relay has counted the reason, for refusals and for ends of connections, as its metrics say.
func (a *arm) counted(reason string) (n float64) {
	a.t.Helper()
	page, err := a.metrics()
	if err != nil {
		a.t.Fatal(err)
	}
	for line := range strings.Lines(page) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
		if !strings.Contains(name, `="`+reason+`"`) {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			a.t.Fatalf("%q: %v", line, err)
		}
		n += v
	}
	return n
}

// leastAttacks is how many attacks there have to be: fewer, and some were lost.
const leastAttacks = 230

// TestHostile: each attack gets its typed refusal. Meanwhile clients that behave go on, and at the end nothing of theirs was lost, every
// connection of an attacker is gone, and the memory is back near to where it was.
func TestHostile(t *testing.T) {
	st := newStage(t)
	steady := st.steady(t)
	before := st.relay.resident(t)
	attacks := slices.Concat(tokenAttacks(st), serverAttacks(st), handshakeAttacks(st), frameAttacks(), clientAttacks(), adminAttacks(st),
		transportAttacks(), resumeAttacks(), adoptionAttacks())
	if len(attacks) < leastAttacks {
		t.Errorf("%d attacks, want %d or more", len(attacks), leastAttacks)
	}
	for _, c := range attacks {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), attackTime)
			defer cancel()
			on := *st
			on.t = t
			a := &arm{stage: &on, ctx: ctx}
			defer a.over()
			counted := a.counted(c.want)
			err := c.do(a)
			if got := outcome(err); !slices.Contains(strings.Split(c.want, "|"), got) {
				t.Errorf("it was answered with %s (%v), want %s", got, err, c.want)
			}
			if isReason.MatchString(c.want) && !strings.HasPrefix(c.name, "operator:") { // whose mistakes are their own
				waitFor(t, "it is counted", func() bool { return a.counted(c.want) > counted })
			}
		})
	}
	waitFor(t, "nobody is there but those who behave", func() bool { return st.clients(t) == 3+steadyClients })
	t.Logf("%d attacks; resident memory %d MiB before, %d MiB after", len(attacks), before>>20, st.relay.resident(t)>>20)
	// The floor of the collector is 64 MiB; what leaks for each of some attacks of many MiB is more than twice that.
	if after := st.relay.resident(t); after > before+192<<20 {
		t.Errorf("the relay holds %d MiB, %d MiB before the attacks", after>>20, before>>20)
	}
	testTool(t, st)
	steady()
	if err := st.well.stop(); err != nil {
		t.Errorf("clients that behave were disturbed: %v\n%s", err, st.well.tail())
	}
}

// testTool: the tool is let in with the token, and says what is missing without it.
func testTool(t *testing.T, st *stage) {
	t.Helper()
	tool := func(args ...string) (string, error) {
		args = append([]string{"list", "servers", "--admin", st.admin, "--admin-ca", st.ca.File}, args...)
		out, err := exec.CommandContext(t.Context(), filepath.Join(programs, "holdfast"), args...).CombinedOutput()
		return string(out), err
	}
	if out, err := tool("--admin-token-file", st.write("token", adminToken+"\n")); err != nil || !strings.Contains(out, "app-1/1") {
		t.Errorf("with the token: %v: %s", err, out)
	}
	if out, err := tool(); err == nil || !strings.Contains(out, "--admin-token-file") {
		t.Errorf("with no token: %v: %s", err, out)
	}
}
