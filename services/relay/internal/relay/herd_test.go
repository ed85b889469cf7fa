package relay

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast/holdfast/services/relay/internal/config"
)

// Thousands that lose their path at once are resumed a few at a time, so that who is beside them is not held up.
func TestHerdIsPaced(t *testing.T) {
	const herd, inFlight = 300, 10
	change := func(c *config.Config) { c.MaxMovesInFlight = inFlight }
	onStage(t, change, func(t *testing.T, s *stage) {
		tap, _ := s.server("app-1", echo, "a", "b")
		beside := s.on("b", "c")
		var guests []*guest
		for range herd {
			guests = append(guests, s.guest("c"))
		}
		s.reload("b", time.Minute) // all are on a now
		s.complete("b")
		s.move(beside, s.path("b"))
		time.Sleep(time.Second)
		tap.take()
		for _, g := range guests {
			if err := g.send(); err != nil {
				t.Fatal(err)
			}
		}
		stop := s.traffic(beside)
		tap.cut("a")
		time.Sleep(10 * time.Second)
		if err := stop(); err != nil {
			t.Errorf("who is beside them saw %v", err)
		}
		open, most, resumed := 0, 0, 0
		for _, n := range tap.take() {
			switch what := n[2:]; { // behind the ingress and the direction
			case strings.HasPrefix(what, "resume"):
				open++
				resumed++
			case strings.HasPrefix(what, "withack"):
				open--
			}
			most = max(most, open)
		}
		if resumed != herd || most > inFlight || most < inFlight/2 {
			t.Errorf("%d resumes, %d at once at most; want %d, and at most %d at once", resumed, most, herd, inFlight)
		}
		for _, g := range guests {
			if err := g.receive(); err != nil {
				t.Error(err)
			}
		}
	})
}

// The largest messages of one client, both ways and while it is moved, hold nobody up and lose nothing.
func TestLargestMessagesBlockNobody(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		s.server("app-1", echo, "a", "b")
		beside, large := s.guest("c"), s.quietGuest("c")
		stop := s.traffic(beside)
		const messages = 30
		go func() {
			for n := range messages {
				m := strings.Repeat(string(rune('a'+n%26)), 1<<20)
				if large.stream.Send(text(m)) != nil {
					return
				}
			}
		}()
		for n := range messages {
			m, err := large.stream.Recv()
			if err != nil || len(m.GetText()) != 1<<20 || m.GetText()[0] != byte('a'+n%26) {
				t.Fatalf("message %d: %.5q of %d bytes, %v", n, m.GetText(), len(m.GetText()), err)
			}
			if n%5 == 0 {
				s.move(large, "")
				s.move(beside, "")
			}
		}
		if err := stop(); err != nil {
			t.Errorf("who is beside it saw %v", err)
		}
		synctest.Wait()
	})
}
