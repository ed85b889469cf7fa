package demo

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/output"
	"github.com/holdfast/holdfast/cmd/holdfast/internal/stats"
	"github.com/holdfast/holdfast/cmd/holdfast/internal/traffic"
)

// Result is what the demo found.
type Result struct {
	IngressKind string   `json:"ingress_kind"`
	Reloads     []Reload `json:"reloads"`
	// Restarts are those of relays.
	Restarts []Restart `json:"restarts"`
	Moved    int       `json:"moved"`
	// MovedBy counts them by the ingress of the plain client, and those of resumable ones.
	MovedBy  map[string]int `json:"moved_by_client_ingress"`
	PauseP50 float64        `json:"pause_p50_ms"`
	PauseP99 float64        `json:"pause_p99_ms"`
	// Traffic is what the plain clients saw, Resumable what the others did.
	Traffic   traffic.Report  `json:"traffic"`
	Resumable *traffic.Report `json:"resumable"`
	// Broken says what was wrong; empty when the guarantee was kept.
	Broken []string `json:"broken"`
}

// judge says what was moved, and what was wrong.
func (r *Result) judge(m moves) {
	r.Moved, r.MovedBy, r.Broken = m.total(), m.by, []string{}
	r.PauseP50, r.PauseP99 = milliseconds(stats.Percentile(m.pauses, 0.5)), milliseconds(stats.Percentile(m.pauses, 0.99))
	r.judgeTraffic("plain clients", r.Traffic)
	for n, reload := range r.Reloads {
		if reload.Announced && !reload.Safe {
			r.broken("reload %d, ingress %s: the relay could not make it safe", n+1, reload.Ingress)
		}
		if reload.DisconnectedElsewhere > 0 {
			r.broken("reload %d, ingress %s: %d clients of the other ingress were disconnected", n+1, reload.Ingress, reload.DisconnectedElsewhere)
		}
	}
	// One reload may find nothing on its ingress; all of them together must have moved something.
	if r.Moved == 0 && m.missed == 0 {
		r.broken("nothing was moved")
	}
	if r.Resumable == nil {
		return
	}
	r.judgeTraffic("resumable clients", *r.Resumable)
	// A client that was disconnected would have come back with another logical connection.
	if n, clients := r.Resumable.Connections, r.Resumable.Clients; n != uint64(clients) {
		r.broken("%d resumable clients had %d logical connections", clients, n)
	}
	if n := r.Resumable.CutInFlight; n > 0 {
		r.broken("%d messages of resumable clients were under way when one was disconnected", n)
	}
	if r.Resumable.Moves == 0 {
		r.broken("no resumable client has moved")
	}
}

func (r *Result) judgeTraffic(whose string, report traffic.Report) {
	if !report.Clean() {
		r.broken("messages of %s: %s", whose, report.Tally)
	}
	if n := report.Unfinished; n > 0 {
		r.broken("%d logical connections of %s did not answer to the end", n, whose)
	}
}

func (r *Result) broken(format string, values ...any) {
	r.Broken = append(r.Broken, fmt.Sprintf(format, values...))
}

// Err says that the guarantee was broken.
func (r Result) Err() error {
	if len(r.Broken) == 0 {
		return nil
	}
	return fmt.Errorf("the guarantee was broken:\n  %s", strings.Join(r.Broken, "\n  "))
}

// Write writes the result as tables.
func (r Result) Write(w io.Writer) error {
	fmt.Fprintln(w)
	err := output.Table(w, []string{"CLIENTS", "RELOADS", "NUMBER", "MOVED", "OWN MOVES", "DISCONNECTED", "REASONS"}, r.rows())
	if err != nil {
		return err
	}
	fmt.Fprintln(w, "\nplain clients:")
	if err := r.Traffic.WriteDirections(w); err != nil {
		return err
	}
	if r.Resumable != nil {
		fmt.Fprintln(w, "\nresumable clients:")
		if err := r.Resumable.WriteDirections(w); err != nil {
			return err
		}
	}
	fmt.Fprintf(w, "\npause of a moved connection p50 %.2f ms, p99 %.2f ms; round trip p50 %.1f ms, p99 %.1f ms\n",
		r.PauseP50, r.PauseP99, r.Traffic.RTTP50, r.Traffic.RTTP99)
	if x := r.Resumable; x != nil {
		fmt.Fprintf(w, "resumable clients: %d with %d logical connections; %d own moves, %d of them after the stream had gone, for %.0f ms at most\n",
			x.Clients, x.Connections, x.Moves, x.MovesCut, x.LongestCut)
	}
	if len(r.Broken) > 0 {
		return nil
	}
	kept := "no plain client of the other ingress disconnected at a reload"
	if r.Resumable != nil {
		kept += "; neither a resumable client nor its application saw a disconnect"
	}
	_, err = fmt.Fprintln(w, "the guarantee was KEPT: nothing lost, doubled, reordered or corrupted; "+kept)
	return err
}

// rows are those of the first table: the plain clients by their ingress, and the resumable ones.
func (r Result) rows() [][]string {
	row := func(name string, reloads int, group string, clients, own int, disconnected uint64, reasons map[string]uint64) []string {
		return []string{
			name, strconv.Itoa(reloads), strconv.Itoa(clients), strconv.Itoa(r.MovedBy[group]), strconv.Itoa(own),
			strconv.FormatUint(disconnected, 10), traffic.Reasons(reasons),
		}
	}
	var rows [][]string
	for _, in := range r.Traffic.ByIngress {
		reloads := 0
		for _, reload := range r.Reloads {
			if reload.Ingress == in.Ingress {
				reloads++
			}
		}
		rows = append(rows, row("plain, through "+in.Ingress, reloads, in.Ingress, in.Clients, 0, in.Disconnected, in.Reasons))
	}
	if x := r.Resumable; x != nil {
		reasons, disconnected := map[string]uint64{}, uint64(0)
		for _, in := range x.ByIngress {
			disconnected += in.Disconnected
			for reason, n := range in.Reasons {
				reasons[reason] += n
			}
		}
		rows = append(rows, row("resumable", len(r.Reloads), resumableClients, x.Clients, x.Moves, disconnected, reasons))
	}
	return rows
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}
