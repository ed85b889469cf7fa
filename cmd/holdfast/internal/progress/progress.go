// Package progress shows how a reload of an ingress goes on: as a bar on a terminal, as plain lines, or as
// JSON.
package progress

import (
	"fmt"
	"io"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/admin"
	"github.com/holdfast/holdfast/cmd/holdfast/internal/output"
)

// Shower shows the progress of one reload.
type Shower interface {
	// Show shows the progress so far.
	Show(p *holdfastv1.ReloadIngressResponse) error
	// End takes down what is still on display.
	End()
}

// Lines shows one plain line each change.
type Lines struct {
	out  io.Writer
	last string
}

// NewLines returns a Shower that writes plain lines.
func NewLines(out io.Writer) *Lines { return &Lines{out: out} }

// Show writes a line when something changed since the last one.
func (l *Lines) Show(p *holdfastv1.ReloadIngressResponse) error {
	line := Line(p)
	if line == l.last {
		return nil
	}
	l.last = line
	_, err := fmt.Fprintln(l.out, line)
	return err
}

// End does nothing.
func (l *Lines) End() {}

// Line says the progress so far in one line.
func Line(p *holdfastv1.ReloadIngressResponse) string {
	line := fmt.Sprintf("ingress %s: %d of %d moved", p.GetIngress(), p.GetMoved(), p.GetPlanned())
	if closed := p.GetClosed(); closed > 0 {
		line += fmt.Sprintf(", %d closed by themselves", closed)
	}
	if asked := p.GetClientsAsked(); asked > 0 {
		line += fmt.Sprintf("; clients: %d of %d moved", p.GetClientsMoved(), asked)
	}
	return line + "; left: " + admin.Left(p.GetLeft())
}

// Summary says how a reload ended, with what to do next.
func Summary(p *holdfastv1.ReloadIngressResponse) string {
	verdict := "SAFE to reload"
	if !p.GetSafeToReload() {
		verdict = "NOT safe to reload"
	}
	s := fmt.Sprintf("%s, after %s: %s\n", Line(p), p.GetElapsed().AsDuration().Round(time.Millisecond), verdict)
	if p.GetReturnsAt().IsValid() {
		s += fmt.Sprintf("ingress %s is out of service until %s; return it with: holdfast complete %[1]s\n",
			p.GetIngress(), p.GetReturnsAt().AsTime().Local().Format(time.TimeOnly))
	}
	return s
}

// JSON shows one JSON object for each message of the relay.
type JSON struct{ out io.Writer }

// NewJSON returns a Shower that writes JSON lines.
func NewJSON(out io.Writer) *JSON { return &JSON{out} }

// Show writes the message.
func (j *JSON) Show(p *holdfastv1.ReloadIngressResponse) error { return output.Message(j.out, p) }

// End does nothing.
func (j *JSON) End() {}

// stuck counts what is left and could not be moved, apart from the connections whose own clients came in
// through the ingress.
func stuck(p *holdfastv1.ReloadIngressResponse) uint32 {
	var n uint32
	for _, c := range p.GetLeft() {
		if c.GetReason() != holdfastv1.LeftReason_LEFT_REASON_CLIENT_THROUGH_INGRESS {
			n += c.GetConnections()
		}
	}
	return n
}
