package console

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/holdfast/holdfast/services/relay/internal/event"
)

const (
	// updateInterval is the least time between two updates: what happens meanwhile is told in one.
	updateInterval = 250 * time.Millisecond
	// bytesPerSecond bounds what one stream takes: large updates come less often.
	bytesPerSecond = 256 << 10
	// quietInterval is after what time an update comes although nothing changed, so that a reader sees that the relay is there.
	quietInterval = 2 * time.Second
	// writeTimeout is for how long a reader may take nothing before its stream is cut.
	writeTimeout = 10 * time.Second
)

// update is one message of a stream.
type update struct {
	State  state  `json:"state"`
	Since  *tally `json:"since"`
	Bounds []int  `json:"pause_bounds_us"`
}

// stream sends updates as server-sent events until the reader goes or the relay stops. It alone waits for a slow reader: the
// relay hands it events without waiting, and it is told how many it missed.
func (c *Console) stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // an nginx in front passes each update on at once
	if r.Method == http.MethodHead {
		return
	}
	select {
	case c.places <- struct{}{}:
		defer func() { <-c.places }()
	default:
		refuse(w, errTooManyStreams)
		return
	}
	watcher := c.events.Watch()
	defer c.events.Unwatch(watcher)
	s := &sse{console: c, out: w, control: http.NewResponseController(w), since: newTally()}
	for {
		wait, err := s.step(r.Context())
		if err != nil {
			return // the reader has gone, or takes nothing
		}
		if !s.gather(r.Context(), watcher, wait) {
			break
		}
	}
	if r.Context().Err() == nil {
		_ = s.write("bye", problemOf(stoppingError())) // the stream ends either way
	}
}

// sse is one stream of server-sent events. Its owner is the request.
type sse struct {
	console *Console
	out     http.ResponseWriter
	control *http.ResponseController

	since *tally
	// last is what was sent last, and when.
	last   []byte
	lastAt time.Time
}

// step sends an update if there is news, and returns how long to wait for the next one.
func (s *sse) step(ctx context.Context) (time.Duration, error) {
	p, err := s.console.look(ctx)
	if err != nil {
		return 0, err
	}
	now, err := json.Marshal(p)
	if err != nil {
		return 0, err
	}
	if s.since.empty() && bytes.Equal(now, s.last) && time.Since(s.lastAt) < quietInterval {
		return updateInterval, nil
	}
	err = s.write("update", update{s.console.stateOf(p), s.since.finish(), boundsInMicros()})
	s.last, s.lastAt, s.since = now, time.Now(), newTally()
	return pace(len(now)), err
}

// pace returns the time from an update of so many bytes to the next one.
func pace(size int) time.Duration {
	return max(updateInterval, time.Duration(size)*time.Second/bytesPerSecond)
}

// gather counts events until the time is over. It reports false when the stream is to end.
func (s *sse) gather(ctx context.Context, watcher *event.Watcher, wait time.Duration) bool {
	due := time.NewTimer(wait)
	defer due.Stop()
	for {
		select {
		case e := <-watcher.C:
			s.since.add(e)
		case <-due.C:
			return true
		case <-ctx.Done():
			return false
		case <-s.console.stopping:
			return false
		}
	}
}

func (s *sse) write(kind string, value any) error {
	encoded, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if err := s.control.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(s.out, "event: %s\ndata: %s\n\n", kind, encoded); err != nil {
		return err
	}
	return s.control.Flush()
}

func boundsInMicros() []int {
	micros := make([]int, len(pauseBounds))
	for i, b := range pauseBounds {
		micros[i] = int(b.Microseconds())
	}
	return micros
}
