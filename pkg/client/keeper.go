package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v5"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

const (
	// provenAfter is after what time a stream has proved that its address is good. One that goes earlier is not replaced without a
	// pause, or a relay that ends streams late would be flooded.
	provenAfter = time.Second
	// spread is what the clients of an ingress that is about to go are spread over: all are told in the same instant.
	spread = 500 * time.Millisecond
	// linger is for how long a relay may take to end the stream of a connection that is over, or that another stream carries.
	linger = time.Second
	// heldEvents is how many events may wait for who is told.
	heldEvents = 16
)

var (
	errOver    = errors.New("the connection is over")
	errLeaving = errors.New("the path is about to go: its transport was told so, or was lost")
)

// keeper keeps a stream to a relay under the connection.
type keeper struct {
	*Connection
	retry *backoff.ExponentialBackOff
}

// try makes one attempt, at an address of another ingress if there is one.
func (k *keeper) try(ctx context.Context, avoid string) (*link, error) {
	to := k.routes.next(avoid)
	l, err := k.join(ctx, to)
	if err != nil {
		return nil, fmt.Errorf("address %s: %w", to.address, err)
	}
	to.ingress = l.ingress
	return l, nil
}

// rest pauses after an attempt that failed, but not before another address has had its turn when the path was not good. The pause
// ends early when cut is closed.
func (k *keeper) rest(ctx context.Context, err error, cut <-chan struct{}) {
	if broke(err) && k.routes.untried() > 0 {
		return
	}
	pause(ctx, k.retry.NextBackOff(), cut)
}

func pause(ctx context.Context, d time.Duration, cut <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-cut:
	case <-ctx.Done():
	}
}

// run keeps the connection on a stream until it is over, and lets go of all then.
func (k *keeper) run(l *link) {
	for {
		why, goOn := k.await(l)
		if !goOn {
			break
		}
		next := k.move(l, why)
		if next == nil {
			break
		}
		l = next
	}
	pause(k.life, linger, l.gone) // the last receipt may be on its way
	k.cancel(errOver)
	k.links.Wait()
	k.mu.Lock()
	loss := k.lossLocked()
	k.mu.Unlock()
	close(k.gone)
	if loss != nil {
		k.log.Warn("connection is lost", "error", loss)
	}
	if k.events == nil {
		return
	}
	if loss != nil {
		k.events <- Lost{Err: loss}
	}
	close(k.events)
}

// await waits until the connection is to be moved from the link, and returns why. It reports false when the connection is over.
func (k *keeper) await(l *link) (why error, goOn bool) {
	asked, leaving := l.asked, l.transport.leaving
	due := time.NewTimer(time.Hour)
	due.Stop()
	defer due.Stop()
	for {
		select {
		case <-k.busy.Done():
			return nil, false
		case <-l.gone:
			// A relay that fails breaks the streams of all its clients in the same instant.
			pause(k.busy, rand.N(k.config.MinBackoff), nil)
			return l.err, k.busy.Err() == nil
		case r := <-asked:
			asked, why = nil, errors.New("the relay asks for it: "+reconnectName(r.GetReason()))
			due.Reset(max(r.GetDelay().AsDuration(), 0))
		case <-leaving:
			asked, leaving = nil, nil
			why = errLeaving
			due.Reset(rand.N(spread))
		case <-due.C:
			return why, true
		}
	}
}

func reconnectName(r holdfastv1.ReconnectReason) string {
	return r.String()[len("RECONNECT_REASON_"):]
}

// move has another stream carry the connection, and returns it; nil when the connection is over or lost.
func (k *keeper) move(old *link, why error) *link {
	k.log.Info("reconnecting", "ingress", old.ingress, "reason", why)
	k.tell(Reconnecting{Why: why})
	began := time.Now()
	if time.Since(old.since) >= provenAfter {
		k.retry.Reset()
	} else {
		pause(k.busy, k.retry.NextBackOff(), nil)
	}
	k.routes.begin()
	last := errNoWelcome
	for cut := old.gone; ; {
		ctx, cancel := k.attemptContext()
		next, err := k.try(ctx, old.ingress)
		expired := ctx.Err() != nil
		cancel()
		switch {
		case next != nil:
			k.recovered(next, began)
			return next
		case k.busy.Err() != nil:
			return nil
		case k.judge(err, true) != nil:
			return nil
		}
		k.log.Warn("cannot reconnect", "error", err)
		if !expired { // else it says no more than that
			last = err
		}
		if k.lost() {
			cut = nil // a stream that breaks cuts one pause short
		}
		if !expired {
			ctx, cancel = k.attemptContext()
			k.rest(ctx, err, cut)
			expired = ctx.Err() != nil
			cancel()
		}
		if k.busy.Err() != nil {
			return nil
		}
		if expired {
			k.giveUp(last)
			return nil
		}
	}
}

// attemptContext returns a context that ends when the connection is over, or when its time without a stream is over.
func (k *keeper) attemptContext() (context.Context, context.CancelFunc) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current != nil {
		return context.WithCancel(k.busy)
	}
	return context.WithDeadline(k.busy, k.lostAt.Add(k.patience()))
}

// patience is for how long the connection may be without a stream.
func (k *keeper) patience() time.Duration {
	if k.config.GiveUpAfter > 0 {
		return k.config.GiveUpAfter
	}
	return k.resumeTime + lateNotice
}

func (k *keeper) giveUp(last error) {
	why := &CloseError{Reason: ReasonGaveUp, Err: last}
	k.mu.Lock()
	why.Detail = fmt.Sprintf("no relay took the connection up again within %v; the last attempt: %v", k.patience(), last)
	k.mu.Unlock()
	k.lose(why)
}

// lost reports whether no stream carries the connection.
func (k *keeper) lost() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.current == nil
}

func (k *keeper) recovered(l *link, began time.Time) {
	e := Recovered{Took: l.since.Sub(began), Address: l.route.address, Ingress: l.ingress, Relay: l.relay}
	k.mu.Lock()
	if k.lostAt.After(time.Time{}) {
		e.Interrupted = l.since.Sub(k.lostAt)
		k.lostAt = time.Time{}
	}
	k.mu.Unlock()
	k.log.Info("recovered", "address", e.Address, "ingress", e.Ingress, "relay", e.Relay, "took", e.Took, "interrupted", e.Interrupted)
	k.tell(e)
}

// tell has the event told. It blocks while too many wait, unless the connection is over.
func (k *keeper) tell(e Event) {
	if k.events == nil {
		return
	}
	select {
	case k.events <- e:
	case <-k.busy.Done():
	}
}

func (c *Connection) tellAll() {
	for e := range c.events {
		c.config.Events(e)
	}
}
