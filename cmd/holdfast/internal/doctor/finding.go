package doctor

import (
	"fmt"
	"io"
)

// Outcome is how a check ended.
type Outcome int

const (
	// OK says that what was looked at is as it should be.
	OK Outcome = iota + 1
	// Warning says that it works, and that something about it should be looked at.
	Warning
	// Failed says that something has to be changed.
	Failed
	// Skipped says that the check could not be made; what was seen has the reason.
	Skipped
)

var outcomes = map[Outcome]string{OK: "ok", Warning: "warning", Failed: "failed", Skipped: "skipped"}

func (o Outcome) String() string {
	if name, ok := outcomes[o]; ok {
		return name
	}
	return fmt.Sprintf("Outcome(%d)", int(o))
}

// MarshalText implements encoding.TextMarshaler.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// Finding is what one check found out.
type Finding struct {
	Check string `json:"check"`
	// Address is the one that was looked at; empty when the finding is about the deployment as a whole.
	Address string  `json:"address,omitempty"`
	Outcome Outcome `json:"outcome"`
	// Seen says what was seen, with the values.
	Seen string `json:"seen"`
	// Change says what to change; nil when there is nothing to change.
	Change *Change `json:"change,omitempty"`
}

// Change says what to change, and for the ingresses by which directive. An ingress that is not concerned has none.
type Change struct {
	What    string `json:"what"`
	Nginx   string `json:"nginx,omitempty"`
	HAProxy string `json:"haproxy,omitempty"`
	Envoy   string `json:"envoy,omitempty"`
}

// Report is what all checks found out, in the order in which they were made.
type Report struct {
	Findings []Finding `json:"findings"`
	OK       int       `json:"ok"`
	Warnings int       `json:"warnings"`
	Failed   int       `json:"failed"`
	Skipped  int       `json:"skipped"`
}

func (r *Report) add(f Finding) {
	r.Findings = append(r.Findings, f)
	switch f.Outcome {
	case OK:
		r.OK++
	case Warning:
		r.Warnings++
	case Failed:
		r.Failed++
	case Skipped:
		r.Skipped++
	}
}

// Summary says in one line how many checks ended in which way.
func (r *Report) Summary() string {
	return fmt.Sprintf("%d ok, %d warnings, %d failed, %d skipped", r.OK, r.Warnings, r.Failed, r.Skipped)
}

// Write writes the finding for people: a line, and the lines that say what to change.
func (f Finding) Write(w io.Writer) error {
	where := ""
	if f.Address != "" {
		where = f.Address + ": "
	}
	if _, err := fmt.Fprintf(w, "%-8s %-20s %s%s\n", f.Outcome, f.Check, where, f.Seen); err != nil || f.Change == nil {
		return err
	}
	for _, line := range [][2]string{
		{"change", f.Change.What}, {"nginx", f.Change.Nginx}, {"HAProxy", f.Change.HAProxy}, {"Envoy", f.Change.Envoy},
	} {
		if line[1] == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "%-8s   %-8s %s\n", "", line[0]+":", line[1]); err != nil {
			return err
		}
	}
	return nil
}

// The words of the checks. Each returns a finding of its outcome.

func ok(check, format string, values ...any) Finding {
	return Finding{Check: check, Outcome: OK, Seen: fmt.Sprintf(format, values...)}
}

func skipped(check, format string, values ...any) Finding {
	return Finding{Check: check, Outcome: Skipped, Seen: fmt.Sprintf(format, values...)}
}

func warning(check string, change Change, format string, values ...any) Finding {
	return Finding{Check: check, Outcome: Warning, Seen: fmt.Sprintf(format, values...), Change: &change}
}

func failed(check string, change Change, format string, values ...any) Finding {
	return Finding{Check: check, Outcome: Failed, Seen: fmt.Sprintf(format, values...), Change: &change}
}
