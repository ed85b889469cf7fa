package ordering

// cutStep breaks a wire. What is in flight on it still arrives, until noticeStep and loseStep take the rest away: each
// direction keeps any prefix.
type cutStep struct{ wire }

func (s cutStep) String() string { return "cut " + s.wire.String() }
func (cutStep) input() bool      { return true }

func (s cutStep) apply(w *world) (bool, error) {
	if w.cuts() == w.plan.cuts || w.cut[s.wire] || w.gone[relay] {
		return false, nil
	}
	w.cut[s.wire] = true
	return true, nil
}

// cuts returns how many wires are cut.
func (w *world) cuts() int { return countTrue(w.cut[:]) }

// alive returns how many wires the relay does not know to be cut.
func (w *world) alive() int { return wires - countTrue(w.noticed[:]) }

func countTrue(bs []bool) int {
	n := 0
	for _, b := range bs {
		if b {
			n++
		}
	}
	return n
}

// loseStep loses what has not arrived at the app by a wire that is cut. That the app notices the loss changes nothing else.
type loseStep struct{ wire }

func (s loseStep) String() string { return "the rest on " + s.wire.String() + " is lost to the app" }
func (loseStep) input() bool      { return true }

func (s loseStep) apply(w *world) (bool, error) {
	if !w.cut[s.wire] || len(w.flight[relay][s.wire]) == 0 {
		return false, nil
	}
	w.flight[relay][s.wire] = nil
	return true, nil
}

// noticeStep lets the relay learn that a wire is cut. What has not arrived by then is lost.
type noticeStep struct{ wire }

func (s noticeStep) String() string { return "relay notices the loss of " + s.wire.String() }
func (noticeStep) input() bool      { return false }

func (s noticeStep) apply(w *world) (bool, error) {
	if !w.cut[s.wire] || w.noticed[s.wire] {
		return false, nil
	}
	w.noticed[s.wire], w.flight[app][s.wire] = true, nil
	if !w.gone[relay] && w.relay.Uses(w.path(relay, s.wire)) {
		w.own(relay)
		w.relay.Park()
	}
	return true, nil
}

// timeoutStep gives up whatever goes on: a path in use may be half-open.
type timeoutStep struct{}

func (timeoutStep) String() string { return "timeout" }
func (timeoutStep) input() bool    { return true }

func (timeoutStep) apply(w *world) (bool, error) {
	if int(w.timeouts) == w.plan.timeouts || w.gone[relay] || w.relay.State() == Parked {
		return false, nil
	}
	w.timeouts++
	w.own(relay)
	w.relay.Park()
	return true, nil
}

// resumeStep takes up a parked connection via a wire that the relay does not know to be cut.
type resumeStep struct{ target wire }

func (s resumeStep) String() string { return "resume via " + s.target.String() }
func (resumeStep) input() bool      { return false }

func (s resumeStep) apply(w *world) (bool, error) {
	if w.gone[relay] || w.relay.State() != Parked || w.noticed[s.target] {
		return false, nil
	}
	w.resumes++
	w.own(relay)
	return true, w.relay.Resume(w.path(relay, s.target))
}
