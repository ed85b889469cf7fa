package traffic

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/output"
	"github.com/holdfast/holdfast/cmd/holdfast/internal/stats"
	"github.com/holdfast/holdfast/pkg/verify"
)

// Report is what the clients saw from beginning to end.
type Report struct {
	Clients int `json:"clients"`
	// Sent is the number of messages of the clients, Received of those that came back to them: Echoed and
	// Counted.
	Sent     uint64 `json:"sent"`
	Received uint64 `json:"received"`
	Echoed   uint64 `json:"echoed"`
	Counted  uint64 `json:"counted"`
	// The faults of both directions.
	verify.Tally
	// CutInFlight is the number of messages under way, to the application or back, when a client was
	// disconnected.
	CutInFlight uint64 `json:"cut_in_flight"`
	// Unfinished is the number of logical connections that did not end within the stop grace.
	Unfinished int `json:"unfinished"`
	// Connections is the number of logical connections that were opened: more than clients when some were disconnected and came back.
	Connections uint64 `json:"connections"`
	// Moves is how often a resumable client has moved to another stream, and MovesCut how often the old one was gone before.
	Moves    int `json:"moves"`
	MovesCut int `json:"moves_cut"`
	// LongestCut is the longest time for which no stream carried a connection that moved.
	LongestCut float64 `json:"longest_cut_ms"`

	Up        Direction `json:"up"`
	Down      Direction `json:"down"`
	ByIngress []Ingress `json:"by_ingress"`
	// Refused counts by address and reason how often a client could not connect.
	Refused map[string]uint64 `json:"refused"`

	RTTP50    float64 `json:"rtt_p50_ms"`
	RTTP99    float64 `json:"rtt_p99_ms"`
	MaxGapP50 float64 `json:"max_gap_p50_ms"`
	MaxGapP99 float64 `json:"max_gap_p99_ms"`
	Seconds   float64 `json:"seconds"`
}

// Ingress is what the clients saw that came in through one ingress.
type Ingress struct {
	Ingress      string `json:"ingress"`
	Clients      int    `json:"clients"`
	Disconnected uint64 `json:"disconnected"`
	// Reasons counts the disconnections by gRPC status, with the reason of google.rpc.ErrorInfo when there
	// was one.
	Reasons map[string]uint64 `json:"reasons"`
}

// Err says that the guarantee was broken, or that nothing could be judged.
func (r Report) Err() error {
	switch {
	case !r.Clean() || r.Unfinished > 0:
		return fmt.Errorf("the guarantee was broken: %s unfinished=%d", r.Tally, r.Unfinished)
	case len(r.ByIngress) == 0:
		return fmt.Errorf("no client could connect: %s", Reasons(r.Refused))
	}
	return nil
}

func (f *Fleet) report(took time.Duration) Report {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.ended
	gaps := slices.Collect(maps.Values(f.gaps))
	r := Report{
		Clients: f.cfg.Clients, Sent: t.Sent, Received: t.Echoed + t.Counted, Echoed: t.Echoed, Counted: t.Counted,
		Tally: t.Faults(), CutInFlight: t.Up.CutInFlight, Unfinished: f.unfinished,
		Connections: f.opened, Moves: len(f.breaks),
		Up: t.Up, Down: t.Down, ByIngress: []Ingress{}, Refused: f.refused,
		RTTP50: milliseconds(f.rtt.Percentile(0.5)), RTTP99: milliseconds(f.rtt.Percentile(0.99)),
		MaxGapP50: milliseconds(stats.Percentile(gaps, 0.5)), MaxGapP99: milliseconds(stats.Percentile(gaps, 0.99)),
		Seconds: milliseconds(took.Round(time.Millisecond)) / 1000,
	}
	for _, d := range f.breaks {
		if d > 0 {
			r.MovesCut++
		}
		r.LongestCut = max(r.LongestCut, milliseconds(d))
	}
	for _, name := range slices.Sorted(maps.Keys(f.ingresses)) {
		in := f.ingresses[name]
		r.ByIngress = append(r.ByIngress, Ingress{name, in.clients, in.disconnected, in.reasons})
	}
	return r
}

// milliseconds keeps three digits behind the point.
func milliseconds(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}

// WriteDirections writes the part of the report that is about the messages as a table.
func (r Report) WriteDirections(w io.Writer) error {
	return output.Table(
		w, []string{"DIRECTION", "SENT", "RECEIVED", "CUT IN FLIGHT", "LOST", "DOUBLED", "REORDERED", "CORRUPTED"},
		[][]string{r.Up.row("to the application"), r.Down.row("to the clients")},
	)
}

// Write writes the report as tables.
func (r Report) Write(w io.Writer) error {
	if err := r.WriteDirections(w); err != nil {
		return err
	}
	var rows [][]string
	for _, in := range r.ByIngress {
		rows = append(rows, []string{in.Ingress, strconv.Itoa(in.Clients), number(in.Disconnected), Reasons(in.Reasons)})
	}
	fmt.Fprintln(w)
	if err := output.Table(w, []string{"INGRESS", "CLIENTS", "DISCONNECTED", "REASONS"}, rows); err != nil {
		return err
	}
	if len(r.Refused) > 0 {
		fmt.Fprintf(w, "\ncould not connect: %s\n", Reasons(r.Refused))
	}
	if r.Moves > 0 {
		fmt.Fprintf(w, "\nmoves of the clients: %d, %d of them after the stream had gone, for %.0f ms at most\n", r.Moves, r.MovesCut, r.LongestCut)
	}
	if r.Unfinished > 0 {
		fmt.Fprintf(w, "\nlogical connections that did not end in time: %d\n", r.Unfinished)
	}
	_, err := fmt.Fprintf(w, "\nround trip p50 %.1f ms, p99 %.1f ms; longest silence of a client p50 %.1f ms, p99 %.1f ms\n",
		r.RTTP50, r.RTTP99, r.MaxGapP50, r.MaxGapP99)
	return err
}

func (d Direction) row(name string) []string {
	return []string{
		name, number(d.Sent), number(d.Received), number(d.CutInFlight),
		number(d.Lost), number(d.Doubled), number(d.Reordered), number(d.Corrupted),
	}
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }

// Reasons says how often there was each reason.
func Reasons(counts map[string]uint64) string {
	if len(counts) == 0 {
		return "-"
	}
	parts := make([]string, 0, len(counts))
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s: %d", name, counts[name]))
	}
	return strings.Join(parts, ", ")
}
