package faults_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// network is two network namespaces with some links between them. Each link is called path1, path2, … at both ends.
type network struct {
	relay, app string
	links      int
}

// rules drop what comes in by the links that are in the set. Dropping what comes in, and not what goes out, tells
// nobody: a sender whose packet may not go out is told so.
const rules = `table inet faults {
	set holes { type ifname; }
	chain in {
		type filter hook input priority 0;
		iifname @holes counter drop
	}
}`

// newNetwork makes the namespaces, or skips the test where that cannot be done. They are removed when the test ends.
func newNetwork(t *testing.T, links int) *network {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: network namespaces need root, so that no path was black-holed")
	}
	for _, program := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("SKIPPED: %v, so that no path was black-holed; make setup installs it", err)
		}
	}
	name := fmt.Sprintf("holdfast-%d-", os.Getpid())
	n := &network{relay: name + "relay", app: name + "app", links: links}
	for _, space := range []string{n.relay, n.app} {
		if err := run("ip", "netns", "add", space); err != nil {
			t.Skipf("SKIPPED: no network namespace can be made here, so that no path was black-holed: %v", err)
		}
		t.Cleanup(func() { // With it go its ends of the links.
			if err := run("ip", "netns", "delete", space); err != nil {
				t.Error(err)
			}
		})
	}
	n.build(t)
	return n
}

func (n *network) build(t *testing.T) {
	t.Helper()
	do := func(line string, args ...any) {
		t.Helper()
		words := strings.Fields(fmt.Sprintf(line, args...))
		if err := run(words[0], words[1:]...); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n.links {
		do("ip link add %s netns %s type veth peer name %[1]s netns %[3]s", link(i), n.relay, n.app)
	}
	for last, space := range []string{n.relay, n.app} {
		do("ip -n %s link set lo up", space)
		for i := range n.links {
			do("ip -n %s address add %s/24 dev %s", space, host(i, last+1), link(i))
			do("ip -n %s link set %s up", space, link(i))
		}
		if err := run("ip", "netns", "exec", space, "nft", rules); err != nil {
			t.Fatal(err)
		}
	}
}

func link(i int) string { return fmt.Sprintf("path%d", i+1) }

// host returns an address of a link; the relay's end is 1.
func host(i, end int) string { return fmt.Sprintf("10.77.%d.%d", i+1, end) }

// within returns the place that a namespace is.
func within(space string) place { return place{"ip", "netns", "exec", space} }

// dial connects to an address in the relay's namespace.
func (n *network) dial(ctx context.Context, address string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result)
	go func() {
		// The thread stays in the namespace, and ends with this goroutine as it was never unlocked.
		runtime.LockOSThread()
		var r result
		if r.err = enter(n.relay); r.err == nil {
			r.conn, r.err = (&net.Dialer{}).DialContext(ctx, "tcp", address)
		}
		done <- r
	}()
	r := <-done
	return r.conn, r.err
}

func enter(space string) error {
	f, err := os.Open("/run/netns/" + space)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
}

// hole is a black hole: a link and the ends that get nothing of what comes in there.
type hole struct {
	link   int
	spaces []string
}

// open begins the black hole, heal ends it.
func (h hole) open() error { return h.change("add") }
func (h hole) heal() error { return h.change("delete") }

func (h hole) change(verb string) error {
	for _, space := range h.spaces {
		if err := run("ip", "netns", "exec", space, "nft", verb, "element", "inet", "faults", "holes", "{", link(h.link), "}"); err != nil {
			return err
		}
	}
	return nil
}

// dropped returns how many packets the rules of the namespace have dropped.
func dropped(t *testing.T, space string) int {
	t.Helper()
	out, err := exec.Command("ip", "netns", "exec", space, "nft", "-j", "list", "chain", "inet", "faults", "in").Output()
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		NFTables []struct {
			Rule struct {
				Expr []struct{ Counter struct{ Packets int } }
			}
		}
	}
	if err := json.Unmarshal(out, &list); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	packets := 0
	for _, entry := range list.NFTables {
		for _, e := range entry.Rule.Expr {
			packets += e.Counter.Packets
		}
	}
	return packets
}
