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
	IngressKind string         `json:"ingress_kind"`
	Reloads     []Reload       `json:"reloads"`
	Moved       int            `json:"moved"`
	MovedBy     map[string]int `json:"moved_by_client_ingress"`
	PauseP50    float64        `json:"pause_p50_ms"`
	PauseP99    float64        `json:"pause_p99_ms"`
	Traffic     traffic.Report `json:"traffic"`
	// Broken says what was wrong; empty when the guarantee was kept.
	Broken []string `json:"broken"`
}

func newResult(kind string, reloads []Reload, m moves, report traffic.Report) Result {
	r := Result{
		IngressKind: kind, Reloads: reloads, Moved: m.total(), MovedBy: m.byIngress,
		PauseP50: milliseconds(stats.Percentile(m.pauses, 0.5)), PauseP99: milliseconds(stats.Percentile(m.pauses, 0.99)),
		Traffic: report, Broken: []string{},
	}
	r.judge(m.missed)
	return r
}

func (r *Result) judge(missed uint64) {
	broken := func(format string, values ...any) { r.Broken = append(r.Broken, fmt.Sprintf(format, values...)) }
	if !r.Traffic.Clean() {
		broken("messages: %s", r.Traffic.Tally)
	}
	if n := r.Traffic.Unfinished; n > 0 {
		broken("%d logical connections did not answer to the end", n)
	}
	for n, reload := range r.Reloads {
		if reload.Announced && !reload.Safe {
			broken("reload %d, ingress %s: the relay could not make it safe", n+1, reload.Ingress)
		}
		if reload.DisconnectedElsewhere > 0 {
			broken("reload %d, ingress %s: %d clients of the other ingress were disconnected", n+1, reload.Ingress, reload.DisconnectedElsewhere)
		}
	}
	// One reload may find nothing on its ingress; all of them together must have moved something.
	if r.Moved == 0 && missed == 0 {
		broken("nothing was moved")
	}
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
	var rows [][]string
	for _, in := range r.Traffic.ByIngress {
		reloads := 0
		for _, reload := range r.Reloads {
			if reload.Ingress == in.Ingress {
				reloads++
			}
		}
		rows = append(rows, []string{
			in.Ingress, strconv.Itoa(reloads), strconv.Itoa(in.Clients), strconv.Itoa(r.MovedBy[in.Ingress]),
			strconv.FormatUint(in.Disconnected, 10), traffic.Reasons(in.Reasons),
		})
	}
	fmt.Fprintln(w)
	err := output.Table(w, []string{"CLIENTS THROUGH", "RELOADS", "CLIENTS", "MOVED", "DISCONNECTED", "REASONS"}, rows)
	if err != nil {
		return err
	}
	fmt.Fprintln(w)
	if err := r.Traffic.WriteDirections(w); err != nil {
		return err
	}
	fmt.Fprintf(w, "\npause of a moved connection p50 %.2f ms, p99 %.2f ms; round trip p50 %.1f ms, p99 %.1f ms\n",
		r.PauseP50, r.PauseP99, r.Traffic.RTTP50, r.Traffic.RTTP99)
	if len(r.Broken) == 0 {
		_, err = fmt.Fprintln(w, "the guarantee was KEPT: nothing lost, doubled, reordered or corrupted; no client of the other ingress disconnected")
	}
	return err
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}
