package clients_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// slack is how late the end of a session may come after what caused it.
const slack = 10 * time.Second

// causes is what was done to the system, and when. All that a plain client notices has to have its cause in it.
type causes struct {
	mu sync.Mutex
	// Under mu: by ingress, and by the address of the relay's sockets.
	reloads, kills, shutdowns map[string][]time.Time
}

func newCauses() *causes {
	return &causes{reloads: map[string][]time.Time{}, kills: map[string][]time.Time{}, shutdowns: map[string][]time.Time{}}
}

// note notes that something is about to be done.
func (c *causes) note(in map[string][]time.Time, where string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	in[where] = append(in[where], time.Now())
}

// noAppServer is the code with which a socket is closed for ERROR_REASON_NO_APP_SERVER.
const noAppServer = websocket.StatusCode(4100 + holdfastv1.ErrorReason_ERROR_REASON_NO_APP_SERVER)

// Why sessions end.
const (
	endStopped  = "stopped"
	endShutdown = "told of the shutdown of its relay"
	// endUnread is that of a client which is so slow that the relay was gone before it had read what it was told.
	endUnread = "its relay has shut down"
	// endAlone is that of a client that came to a relay which had just been started again.
	endAlone    = "its relay had no app server yet"
	endCut      = "its socket was cut"
	endKilled   = "its relay was killed"
	endReloaded = "its ingress was reloaded"
)

// why returns for what reason a session ended, or an error when there is none.
func (c *causes) why(s *session) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.err == nil {
		return endStopped, nil
	}
	if s.cut.Load() {
		return endCut, nil
	}
	if closed, ok := errors.AsType[websocket.CloseError](s.err); ok {
		told := closed.Code == websocket.StatusGoingAway && strings.HasPrefix(closed.Reason, "RELAY_SHUTDOWN: ")
		if told && s.fits(c.shutdowns[s.relay], stopGrace, 0, stopGrace) { // its listener is open until it ends
			return endShutdown, nil
		}
		alone := closed.Code == noAppServer && strings.HasPrefix(closed.Reason, "NO_APP_SERVER: ")
		if alone && s.fits(slices.Concat(c.kills[s.relay], c.shutdowns[s.relay]), readyTimeout, 0, readyTimeout) {
			return endAlone, nil
		}
		return "typed", fmt.Errorf("%w: it was closed with %d %q", errNoCause, closed.Code, closed.Reason)
	}
	switch {
	case s.fits(c.kills[s.relay], relayAway, 0, relayAway): // until then nothing else is at its address
		return endKilled, nil
	case s.fits(c.reloads[s.ingress], time.Second, streamGrace, streamGrace): // in its moment the old workers still accept
		return endReloaded, nil
	case s.fits(c.shutdowns[s.relay], shutdownGrace, shutdownGrace, shutdownGrace):
		return endUnread, nil
	}
	return "unknown", fmt.Errorf("%w: through ingress %s to relay %s from %v to %v: %w", errNoCause, s.ingress, s.relay,
		s.began.Format(time.StampMilli), s.over.Format(time.StampMilli), s.err)
}

// fits reports whether the session began no later than begun after one of the times, and ended between least and most after it.
func (s *session) fits(times []time.Time, begun, least, most time.Duration) bool {
	return slices.ContainsFunc(times, func(at time.Time) bool {
		return s.began.Before(at.Add(begun)) && !s.over.Before(at.Add(least)) && s.over.Before(at.Add(most+slack))
	})
}
