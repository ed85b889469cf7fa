package ordering

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestScenarios plays the scripts under testdata/scenarios. The directives are
//
//	new [window=n]    starts a logical connection with Open still to be sent
//	open [window=n]   starts one and opens it on path A
//	do                plays its input, one command a line
//
// and the commands
//
//	relay|app push <payload>...       relay|app half-close       relay|app close
//	relay|app take                    migrate <path>             state
//	park                              resume <path>
//	cut <path>                        loses what is in flight on the path and all that follows
//	mend <path>                       puts a new server connection in the place of the path
//	relay|app pull <path> [n]         gives the writer of the path n frames to send, else all there are
//	deliver to-relay|to-app <path> [n]       lets the n oldest frames on the path arrive, else all
//	inject to-relay|to-app <path> <kind> <epoch> [#seq] [payload] [receipt=n] [received=n]   lets a made-up frame arrive
//	run                               pulls and delivers, path by path, until there is nothing to send
//
// The output has a line for each frame and, indented, one for each state that changed.
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata/scenarios", func(t *testing.T, path string) {
		s := &scenario{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "new", "open":
				window := 1000
				d.MaybeScanArgs(t, "window", &window)
				s.start(&plan{window: window}, d.Cmd == "open")
			case "do":
				for line := range strings.Lines(d.Input) {
					if err := s.do(strings.Fields(line)...); err != nil {
						d.Fatalf(t, "%q: %v", line, err)
					}
				}
			default:
				d.Fatalf(t, "unknown directive %q", d.Cmd)
			}
			return s.output()
		})
	})
}

type scenario struct {
	w *world
	// shown is what was printed last of the state of each side.
	shown [2]string
	out   strings.Builder
}

func (s *scenario) start(p *plan, open bool) {
	s.w, s.shown = newWorld(p), [2]string{}
	if open {
		s.run()
	}
	s.out.Reset()
	s.show()
}

func (s *scenario) output() string {
	defer s.out.Reset()
	if s.out.Len() == 0 {
		return "ok\n"
	}
	return s.out.String()
}

func (s *scenario) printf(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

// errUsage means that a script is wrong.
var errUsage = errors.New("not a command")

// do plays one command. Words that it lacks are empty.
func (s *scenario) do(words ...string) error {
	words = append(words, "", "", "", "")
	defer s.show()
	switch words[0] {
	case "deliver", "inject":
		return s.arrive(words)
	case "migrate", "resume", "cut", "mend":
		return s.place(words[0], words[1])
	case "park":
		s.w.relay.Park()
	case "state":
		s.state()
	case "run":
		s.run()
	default:
		from, err := sideNamed(words[0])
		if err != nil || s.w.end(from) == nil {
			return errUsage
		}
		return s.act(from, words[1:])
	}
	return nil
}

// act does what only one end takes part in.
func (s *scenario) act(from side, words []string) error {
	switch words[0] {
	case "push":
		for _, payload := range strings.Fields(strings.Join(words[1:], " ")) {
			s.push(from, Message{Kind: Text, Payload: []byte(payload)})
		}
	case "half-close":
		s.push(from, Message{Kind: HalfClose})
	case "close":
		s.push(from, Message{Kind: Close})
	case "take":
		s.take(from)
	case "pull":
		by, err := wireNamed(words[1])
		n, err2 := count(words[2])
		if err := errors.Join(err, err2); err != nil {
			return err
		}
		if !s.pull(from, by, n) {
			s.printf("%v has nothing for %v", from, by)
		}
	default:
		return errUsage
	}
	return nil
}

// all is the count of a command that names none.
const all = 1 << 20

func count(word string) (int, error) {
	if word == "" {
		return all, nil
	}
	return strconv.Atoi(word)
}

// arrive lets frames arrive: those in flight, or a made-up one before them.
func (s *scenario) arrive(words []string) error {
	to, err := sideNamed(strings.TrimPrefix(words[1], "to-"))
	by, err2 := wireNamed(words[2])
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	if words[0] == "inject" {
		f, err := parseFrame(words[3:])
		if err != nil {
			return err
		}
		q := &s.w.flight[to.peer()][by]
		*q = append([]Frame{f}, *q...)
		s.deliver(to, by, 1)
		return nil
	}
	n, err := count(words[3])
	s.deliver(to, by, n)
	return err
}

func (s *scenario) push(from side, m Message) {
	if seq, err := s.w.end(from).Outbox.Push(m); err != nil {
		s.printf("%v cannot push %s: %v", from, describe(m), err)
	} else {
		s.printf("%v pushes #%d %s", from, seq, describe(m))
	}
}

func (s *scenario) take(from side) {
	in := &s.w.end(from).Inbox
	for m, ok := in.Take(); ok; m, ok = in.Take() {
		s.printf("%v takes %s", from, describe(m))
	}
	if in.Consume() {
		s.printf("%v owes a receipt at once", from)
	}
}

// place does what has to do with one path.
func (s *scenario) place(command, name string) error {
	by, err := wireNamed(name)
	if err != nil {
		return err
	}
	var refused error
	switch command {
	case "migrate":
		refused = s.w.relay.Migrate(relay.path(by))
	case "resume":
		refused = s.w.relay.Resume(relay.path(by))
	case "cut":
		s.w.cut[by], s.w.flight[relay][by], s.w.flight[app][by] = true, nil, nil
	case "mend":
		s.w.cut[by] = false
	}
	if refused != nil {
		s.printf("%s %v: %v", command, by, refused)
	}
	return nil
}

// pull reports whether there was anything to send.
func (s *scenario) pull(from side, by wire, n int) bool {
	e, before := s.w.end(from), s.out.Len()
	for range n {
		f, ok := e.Next(from.path(by))
		if !ok {
			break
		}
		s.w.send(from, by, f)
		s.printf("%-5v => %v          %s", from, by, describeFrame(f))
	}
	return s.out.Len() > before
}

func (s *scenario) deliver(to side, by wire, n int) {
	for ; n > 0 && len(s.w.flight[to.peer()][by]) > 0; n-- {
		f, verdict, err := s.w.receive(to, by)
		result := verdict.String()
		if err != nil {
			result = err.Error()
		}
		s.printf("         %v => %-5v %s: %s", by, to, describeFrame(f), result)
		s.show()
	}
}

func (s *scenario) run() {
	for moved := true; moved; {
		before := s.out.Len()
		for _, from := range []side{relay, app} {
			for by := range wire(wires) {
				if s.w.end(from) != nil {
					s.pull(from, by, all)
				}
				s.deliver(from.peer(), by, all)
			}
		}
		moved = s.out.Len() > before
	}
}
