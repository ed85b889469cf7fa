package traffic

import (
	"errors"

	"google.golang.org/grpc/status"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/admin"
	resumable "github.com/holdfast/holdfast/pkg/client"
	"github.com/holdfast/holdfast/pkg/verify"
)

// Direction sums up one direction of all logical connections.
type Direction struct {
	Sent        uint64 `json:"sent"`
	Received    uint64 `json:"received"`
	CutInFlight uint64 `json:"cut_in_flight"`
	verify.Tally
}

func (d Direction) plus(o Direction) Direction {
	return Direction{d.Sent + o.Sent, d.Received + o.Received, d.CutInFlight + o.CutInFlight, d.Tally.Plus(o.Tally)}
}

// Totals sums up logical connections.
type Totals struct {
	// Sent is the number of messages that the clients sent, Echoed and Counted of those that came back.
	Sent, Echoed, Counted uint64
	// Up is the direction to the application, Down the one to the clients.
	Up, Down Direction
}

func (t Totals) plus(o Totals) Totals {
	return Totals{t.Sent + o.Sent, t.Echoed + o.Echoed, t.Counted + o.Counted, t.Up.plus(o.Up), t.Down.plus(o.Down)}
}

// Faults returns what was wrong in both directions.
func (t Totals) Faults() verify.Tally { return t.Up.Tally.Plus(t.Down.Tally) }

// runningLocked judges a logical connection that goes on, or was cut: what came has to be a prefix of what
// was sent.
func (s *session) runningLocked() Totals {
	t := Totals{Sent: s.sent.Load(), Echoed: s.echoed, Counted: s.counted}
	arrived := min(s.echo.Highest(), t.Sent)
	t.Up = Direction{Sent: t.Sent, Received: arrived, CutInFlight: t.Sent - arrived}
	t.Down = Direction{Received: t.Echoed + t.Counted, Tally: s.echo.Prefix().Plus(s.count.Prefix())}
	t.Down.Sent = t.Down.Received + t.Down.Lost
	return t
}

// completeLocked judges a logical connection that was stopped in good order: all that was sent had to
// arrive.
func (s *session) completeLocked() Totals {
	sent, answer := s.sent.Load(), s.answer
	t := Totals{Sent: sent, Echoed: s.echoed, Counted: s.counted}
	up := answer.Tally
	arrived := beyond(answer.Received, s.cfg.commands()+up.Doubled)
	up.Lost = max(up.Lost, beyond(sent, arrived))
	t.Up = Direction{Sent: sent, Received: arrived, Tally: up}
	down := s.echo.Complete(sent).Beyond(up).Plus(s.count.Complete(answer.Counted))
	t.Down = Direction{Sent: arrived + answer.Counted, Received: t.Echoed + t.Counted, Tally: down}
	return t
}

// unfinishedLocked judges a logical connection that lived and did not end in time: what has not arrived by
// then is lost.
func (s *session) unfinishedLocked() Totals {
	t := s.runningLocked()
	t.Up.CutInFlight = 0
	t.Up.Lost += beyond(t.Sent, t.Up.Received)
	return t
}

func beyond(a, b uint64) uint64 { return a - min(a, b) }

// outcome is how a logical connection ended.
type outcome struct {
	totals Totals
	// cut is why it ended when it was not stopped in good order; empty when it was.
	cut        string
	unfinished bool
}

// judge judges a session that is over. graceOver says that this client itself gave it up.
func (s *session) judge(graceOver bool) outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.answer != nil:
		return outcome{totals: s.completeLocked()}
	case graceOver:
		return outcome{totals: s.unfinishedLocked(), unfinished: true}
	}
	return outcome{totals: s.runningLocked(), cut: reasonOf(s.ended)}
}

// reasonOf names why a stream ended: the gRPC status, and the reason of google.rpc.ErrorInfo when there is
// one.
func reasonOf(err error) string {
	if err == nil {
		return "OK"
	}
	if reason := admin.Reason(err); reason != "" {
		return status.Code(err).String() + " " + reason
	}
	if why := new(resumable.CloseError); errors.As(err, &why) {
		return string(why.Reason)
	}
	if errors.Is(err, errNoWelcome) {
		return err.Error()
	}
	return status.Code(err).String()
}
