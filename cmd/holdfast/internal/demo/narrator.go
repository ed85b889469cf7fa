package demo

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/admin"
	"github.com/holdfast/holdfast/cmd/holdfast/internal/stats"
)

// gather is for how long events of single connections are gathered into one line.
const gather = 100 * time.Millisecond

// printer writes lines with the time since the beginning. It is safe for concurrent use.
type printer struct {
	begin time.Time
	mu    sync.Mutex
	w     io.Writer // under mu
}

func (p *printer) say(format string, values ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.w, "%7.2fs  %s\n", time.Since(p.begin).Seconds(), fmt.Sprintf(format, values...))
}

// moves is what the relays said about the connections that were moved.
type moves struct {
	// by counts them by whose they are: plain clients of an ingress, or resumable ones.
	by     map[string]int
	pauses []time.Duration
	// missed is the number of events that the relay dropped because the demo was too slow.
	missed uint64
}

func (m moves) total() int { return len(m.pauses) }

// ledger adds up the moves of all relays. It is safe for concurrent use.
type ledger struct {
	mu    sync.Mutex
	moved moves // under mu
}

func newLedger() *ledger { return &ledger{moved: moves{by: map[string]int{}}} }

// moves returns what was moved so far.
func (l *ledger) moves() moves {
	l.mu.Lock()
	defer l.mu.Unlock()
	return moves{maps.Clone(l.moved.by), slices.Clone(l.moved.pauses), l.moved.missed}
}

func (l *ledger) add(ingress string, pause time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.moved.by[ingress]++
	l.moved.pauses = append(l.moved.pauses, pause)
}

func (l *ledger) miss(events uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.moved.missed += events
}

// narrator tells what the events of one relay say.
type narrator struct {
	relay  string // its id
	print  *printer
	ledger *ledger
	// groupOf returns to which clients that of a logical connection belongs.
	groupOf func(connectionID string) (string, bool)

	// Owned by the goroutine that narrates.
	servers map[string]string // how a server connection is called, by id
	lines   map[string]*gathered
}

// gathered is one line about a number of logical connections.
type gathered struct {
	count  int
	pauses []time.Duration
}

func newNarrator(relay string, print *printer, l *ledger, groupOf func(string) (string, bool)) *narrator {
	return &narrator{
		relay: relay, print: print, ledger: l, groupOf: groupOf, servers: map[string]string{}, lines: map[string]*gathered{},
	}
}

// run narrates until events is closed.
func (n *narrator) run(events <-chan *holdfastv1.WatchEventsResponse) {
	tick := time.NewTicker(gather)
	defer tick.Stop()
	for {
		select {
		case e, open := <-events:
			if !open {
				n.flush()
				return
			}
			n.take(e)
		case <-tick.C:
			n.flush()
		}
	}
}

func (n *narrator) take(e *holdfastv1.WatchEventsResponse) {
	switch e.GetKind() {
	case holdfastv1.EventKind_EVENT_KIND_CONNECTION_OPENED:
		n.gather("opened", 0)
	case holdfastv1.EventKind_EVENT_KIND_CONNECTION_CLOSED:
		n.gather("closed ("+admin.CloseWords(e.GetCloseReason())+")", 0)
	case holdfastv1.EventKind_EVENT_KIND_CONNECTION_MOVED:
		n.takeMove(e, "moved")
	case holdfastv1.EventKind_EVENT_KIND_CONNECTION_RESUMED:
		n.takeMove(e, "resumed")
	case holdfastv1.EventKind_EVENT_KIND_CONNECTION_PARKED:
		n.gather("parked, as "+n.server(e.GetServerConnectionId())+" is lost or does not answer", 0)
	case holdfastv1.EventKind_EVENT_KIND_CLIENT_RESUMED:
		n.gather("taken up here, where their clients have come anew", 0)
	case holdfastv1.EventKind_EVENT_KIND_CLIENT_AWAY:
		n.gather("waiting for their clients, whose streams are gone", 0)
	case holdfastv1.EventKind_EVENT_KIND_CONNECTION_LET_GO:
		n.gather("let go, as they go on at the other relay", 0)
	case holdfastv1.EventKind_EVENT_KIND_MISSED:
		n.ledger.miss(e.GetMissed())
		n.print.say("%s: %d events were missed", n.relay, e.GetMissed())
	case holdfastv1.EventKind_EVENT_KIND_WATCHING:
	default:
		n.flush() // What came before is told before.
		n.print.say("%s: %s", n.relay, n.line(e))
	}
}

// takeMove takes a connection that is on another server connection now. How it came there, the word says.
func (n *narrator) takeMove(e *holdfastv1.WatchEventsResponse, how string) {
	pause := e.GetPause().AsDuration()
	group, known := n.groupOf(e.GetConnectionId())
	if !known {
		group = "?"
	}
	n.ledger.add(group, pause)
	n.gather(fmt.Sprintf("%s %s from %s to %s",
		groupWords(group), how, n.server(e.GetPreviousServerConnectionId()), n.server(e.GetServerConnectionId())), pause)
}

// groupWords says whose connections they are.
func groupWords(group string) string {
	if group == resumableClients {
		return "of resumable clients"
	}
	return "with clients through " + group
}

func (n *narrator) gather(line string, pause time.Duration) {
	g := n.lines[line]
	if g == nil {
		g = &gathered{}
		n.lines[line] = g
	}
	g.count++
	if pause > 0 {
		g.pauses = append(g.pauses, pause)
	}
}

func (n *narrator) flush() {
	for _, line := range slices.Sorted(maps.Keys(n.lines)) {
		g, pause := n.lines[line], ""
		if len(g.pauses) > 0 {
			pause = fmt.Sprintf("; the longest pause was %s", stats.Percentile(g.pauses, 1))
		}
		n.print.say("%s: %d logical connections %s%s", n.relay, g.count, line, pause)
	}
	clear(n.lines)
}

// line says an event that is told by itself.
func (n *narrator) line(e *holdfastv1.WatchEventsResponse) string {
	id := e.GetServerConnectionId()
	if id != "" && e.GetIngress() != "" {
		n.servers[id] = e.GetServerId() + " through " + e.GetIngress()
	}
	parts := []string{admin.EventWords(e.GetKind())}
	switch {
	case id != "":
		parts = append(parts, n.server(id))
	case e.GetIngress() != "":
		parts = append(parts, e.GetIngress())
	}
	line := strings.Join(parts, ": ")
	if e.GetDetail() != "" {
		line += " (" + e.GetDetail() + ")"
	}
	return line
}

func (n *narrator) server(id string) string {
	if name, ok := n.servers[id]; ok {
		return name
	}
	return id
}

// watch sends the relay's events to the narrator until ctx is done. It returns when it watches; watched is
// closed when it does not any more, and has the reason then when there is one.
func watch(ctx context.Context, client holdfastv1.AdminServiceClient, events chan<- *holdfastv1.WatchEventsResponse) (watched <-chan error, err error) {
	stream, err := client.WatchEvents(ctx, &holdfastv1.WatchEventsRequest{})
	if err == nil {
		_, err = stream.Recv() // The first says that it watches.
	}
	if err != nil {
		close(events)
		return nil, fmt.Errorf("watch the relay: %w", err)
	}
	ended := make(chan error, 1)
	go func() {
		defer close(ended)
		defer close(events)
		for {
			e, err := stream.Recv()
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				ended <- fmt.Errorf("watch the relay: %w", err)
				return
			}
			events <- e
		}
	}()
	return ended, nil
}
