package bench

import (
	"context"
	"sync"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// watch collects the pauses of moves. What it has collected may be read when it was stopped.
type watch struct {
	cancel  context.CancelFunc
	reading sync.WaitGroup

	// Owned by the reader.
	pauses []time.Duration
	missed uint64
	err    error
}

// watch begins to collect; it returns when the relay tells every move from now on.
func (m *reloads) watch(ctx context.Context) (*watch, error) {
	w := &watch{}
	ctx, w.cancel = context.WithCancel(ctx)
	stream, err := m.client.WatchEvents(ctx, &holdfastv1.WatchEventsRequest{})
	if err == nil {
		_, err = stream.Recv() // The first event says that watching has begun.
	}
	if err != nil {
		w.cancel()
		return nil, m.client.Explain(err)
	}
	w.reading.Go(func() {
		for {
			event, err := stream.Recv()
			if err != nil {
				if ctx.Err() == nil {
					w.err = m.client.Explain(err)
				}
				return
			}
			switch event.GetKind() {
			case holdfastv1.EventKind_EVENT_KIND_CONNECTION_MOVED:
				w.pauses = append(w.pauses, event.GetPause().AsDuration())
			case holdfastv1.EventKind_EVENT_KIND_MISSED:
				w.missed += event.GetMissed()
			}
		}
	})
	return w, nil
}

// stop ends the watch and returns why it had ended before, if it had.
func (w *watch) stop() error {
	w.cancel()
	w.reading.Wait()
	return w.err
}
