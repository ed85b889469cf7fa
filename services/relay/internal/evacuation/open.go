package evacuation

import (
	"maps"
	"slices"
	"time"

	"github.com/holdfast/holdfast/pkg/trail"
	"github.com/holdfast/holdfast/services/relay/internal/telemetry"
)

// Open returns the moves that are open, by mode. There are never more than there are places for.
func (e *Evacuator) Open() map[string]telemetry.OpenMoves {
	e.mu.Lock()
	moves := slices.Collect(maps.Values(e.inFlight))
	e.mu.Unlock()
	now := time.Now()
	open := map[string]telemetry.OpenMoves{trail.ModeHandoff: {}, trail.ModeResume: {}}
	for _, m := range moves {
		mode, since := trail.ModeHandoff, m.began
		if m.from == nil {
			mode = trail.ModeResume
			if wait, _ := m.connection.Parked(); !wait.Since.IsZero() { // else it has just ended
				since = wait.Since
			}
		}
		o := open[mode]
		open[mode] = telemetry.OpenMoves{Count: o.Count + 1, Oldest: max(o.Oldest, now.Sub(since))}
	}
	return open
}

// evacuation is from the first handoff off a draining path to the end of the last; guarded by Evacuator.mu.
type evacuation struct {
	// began is zero when there is none.
	began time.Time
	// open is how many of its handoffs are, over how many have ended.
	open, over int
	// planning: more may be begun.
	planning bool
}

// beginLocked notes that a handoff begins.
func (v *evacuation) beginLocked(now time.Time) {
	if v.began.IsZero() {
		v.began = now
	}
	v.open++
}

// abortLocked notes that it did not begin after all.
func (v *evacuation) abortLocked() { v.open-- }

// endLocked notes that a handoff ended.
func (v *evacuation) endLocked() {
	v.open--
	v.over++
}

// takeLocked returns the evacuation that is over now, of which over is 0 when there is none.
func (v *evacuation) takeLocked() (ended evacuation) {
	if v.began.IsZero() || v.open > 0 || v.planning {
		return evacuation{}
	}
	ended, *v = *v, evacuation{}
	return ended
}

// tell says that an evacuation is over. It must be called without the lock.
func (e *Evacuator) tell(ended evacuation) {
	if ended.over == 0 {
		return
	}
	took := time.Since(ended.began)
	e.counters.Evacuated(took)
	e.log.Info("evacuation is over", "moves", ended.over, "elapsed", took)
}

// plans notes whether handoffs are being planned.
func (e *Evacuator) plans(planning bool) {
	e.mu.Lock()
	e.evacuation.planning = planning
	ended := e.evacuation.takeLocked()
	e.mu.Unlock()
	e.tell(ended)
}
