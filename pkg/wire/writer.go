package wire

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
)

const (
	// quantum is how many frames one source may add before the next has its turn.
	quantum = 16
	// receiptDelay is for how long a receipt waits for a message to ride on.
	receiptDelay = 20 * time.Millisecond
	// maxReplies bounds the answers to frames that belong to no source. A peer that provokes more than
	// this while the stream takes nothing gets no more of them.
	maxReplies = 256
	// SilentIntervals is how many heartbeat intervals of silence make a path dead.
	SilentIntervals = 3
)

// ErrSilent ends a writer whose peer said nothing for three heartbeat intervals.
var ErrSilent = errors.New("the peer was silent for three heartbeat intervals")

// ErrEnded ends a writer whose owner called End.
var ErrEnded = errors.New("the server connection was ended on purpose")

// Writer is the only writer of the stream of one server connection. It pulls: sources with something to
// send stand in a list, and each adds a bounded quantum to a batch in its turn, so that no queue lies
// behind the outboxes. All methods are safe for concurrent use; Run is called once.
type Writer struct {
	// Set once.
	path      ordering.Path
	send      func(*Batch) error
	heartbeat time.Duration
	wake      chan struct{} // capacity 1
	ended     chan struct{}
	end       sync.Once
	// RoundTrip is told how long the answer to a heartbeat took, by the goroutine that calls Ping; nil for nobody. It must not
	// be set after Run was called.
	RoundTrip func(time.Duration)

	// heard is when the peer was last heard, in nanoseconds after began.
	heard atomic.Int64
	began time.Time

	// loop is the goroutine of write.
	loop sync.WaitGroup

	// Owned by write.
	batch    Batch
	lastSent time.Time

	mu sync.Mutex
	// Guarded by mu.
	urgent, queued lanes
	owing          []*Lane
	flushAt        time.Time // when owing is flushed; zero when it is empty
	replies        []*holdfastv1.Frame
	ping           *holdfastv1.PingMessage
	draining       *holdfastv1.DrainingMessage
	idle           bool
	pingNonce      uint64
	pingedAt       time.Time // when the last ping was sent; zero when it was answered
}

// NewWriter returns a writer for the path. Its send writes one batch to the stream and may block. The
// heartbeat is the negotiated interval.
func NewWriter(path ordering.Path, heartbeat time.Duration, send func(*Batch) error) *Writer {
	w := &Writer{path: path, send: send, heartbeat: heartbeat, wake: make(chan struct{}, 1), ended: make(chan struct{}), began: time.Now()}
	w.Heard()
	return w
}

// Run writes until the context ends, the stream fails, the peer falls silent or End is called, and returns the cause
// at once, also while a send is blocked: its caller then ends the stream, which ends the send, and calls Wait.
func (w *Writer) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	w.loop.Go(func() { cancel(w.write(ctx)) })
	timer := time.NewTimer(time.Until(w.silentAt()))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case now := <-timer.C:
			if !now.Before(w.silentAt()) {
				cancel(ErrSilent)
				return ErrSilent
			}
			timer.Reset(time.Until(w.silentAt()))
		}
	}
}

// Wait waits until nothing is written any more. Run must have returned, and the stream have ended.
func (w *Writer) Wait() { w.loop.Wait() }

// write sends batch after batch.
func (w *Writer) write(ctx context.Context) error {
	w.lastSent = time.Now()
	timer := time.NewTimer(w.heartbeat)
	defer timer.Stop()
	for ctx.Err() == nil {
		runtime.Gosched() // whoever is about to have something to send adds it to this batch
		w.fill()
		if w.batch.Empty() {
			timer.Reset(time.Until(w.nextDeadline()))
			select {
			case <-ctx.Done():
			case <-w.ended:
				if w.fill(); w.batch.Empty() {
					return ErrEnded
				}
			case <-w.wake:
			case <-timer.C:
				w.onTimer(time.Now())
			}
			if w.batch.Empty() {
				continue
			}
		}
		if err := w.send(&w.batch); err != nil {
			return err
		}
		w.lastSent = time.Now()
		w.onTimer(w.lastSent)
	}
	return context.Cause(ctx)
}

// End makes Run return ErrEnded once nothing stands ready any more.
func (w *Writer) End() { w.end.Do(func() { close(w.ended) }) }

// Heard notes that the peer was heard.
func (w *Writer) Heard() { w.heard.Store(int64(time.Since(w.began))) }

// HeardAt returns when the peer was last heard.
func (w *Writer) HeardAt() time.Time { return w.began.Add(time.Duration(w.heard.Load())) }

// Ping takes a ping of the peer: one that is no answer is answered. Of several that wait, the last is.
func (w *Writer) Ping(p *holdfastv1.PingMessage) {
	if p == nil {
		return
	}
	if p.GetAnswer() {
		w.answered(p.GetNonce())
		return
	}
	w.mu.Lock()
	w.ping = &holdfastv1.PingMessage{Nonce: p.GetNonce(), Answer: true}
	w.unlockAndWake()
}

// answered takes the answer to a ping.
func (w *Writer) answered(nonce uint64) {
	w.mu.Lock()
	pinged := w.pingedAt
	if nonce != w.pingNonce {
		pinged = time.Time{}
	} else {
		w.pingedAt = time.Time{}
	}
	w.mu.Unlock()
	if !pinged.IsZero() && w.RoundTrip != nil {
		w.RoundTrip(time.Since(pinged))
	}
}

// Draining says on the stream that this path is about to go.
func (w *Writer) Draining(detail string) {
	w.mu.Lock()
	w.draining = &holdfastv1.DrainingMessage{Detail: detail}
	w.unlockAndWake()
}

// Reply sends a frame that belongs to no source's order. It reports false when too many wait already.
func (w *Writer) Reply(f *holdfastv1.Frame) bool {
	w.mu.Lock()
	ok := len(w.replies) < maxReplies
	if ok {
		w.replies = append(w.replies, f)
	}
	w.unlockAndWake()
	return ok
}

// Replies returns how many replies wait.
func (w *Writer) Replies() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.replies)
}

func (w *Writer) ready(l *Lane, urgent bool) {
	w.mu.Lock()
	switch {
	case urgent && !l.urgent:
		l.urgent = true
		w.urgent.push(l)
	case !urgent && !l.queued && !l.urgent:
		l.queued = true
		w.queued.push(l)
	}
	w.unlockAndWake()
}

func (w *Writer) owe(l *Lane) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if l.owing {
		return
	}
	l.owing = true
	w.owing = append(w.owing, l)
	if w.flushAt.IsZero() {
		w.flushAt = time.Now().Add(receiptDelay)
		w.wakeLocked()
	}
}

func (w *Writer) unlockAndWake() {
	w.wakeLocked()
	w.mu.Unlock()
}

func (w *Writer) wakeLocked() {
	if w.idle {
		w.idle = false
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// fill gathers a batch. It leaves it empty, and the writer idle, when nothing stands ready.
func (w *Writer) fill() {
	w.batch.Reset()
	for !w.batch.Full() {
		lane := w.nextLane()
		if lane == nil {
			return
		}
		if lane.source.Pull(lane, &w.batch, quantum) {
			w.ready(lane, false)
		}
	}
}

// nextLane moves what belongs to no lane into the batch and returns the lane whose turn it is.
func (w *Writer) nextLane() *Lane {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ping != nil && !w.ping.GetAnswer() {
		w.pingedAt = time.Now()
	}
	if w.ping != nil || w.draining != nil {
		w.batch.Ping, w.ping = cmp.Or(w.ping, w.batch.Ping), nil
		w.batch.Draining, w.draining = cmp.Or(w.draining, w.batch.Draining), nil
	}
	for _, f := range w.replies {
		w.batch.AddFrame(f)
	}
	w.replies = w.replies[:0]
	switch {
	case !w.urgent.empty():
		l := w.urgent.pop()
		l.urgent = false
		return l
	case !w.queued.empty():
		l := w.queued.pop()
		l.queued = false
		return l
	}
	w.idle = w.batch.Empty()
	return nil
}

// nextDeadline returns when the writer must act though nothing stands ready.
func (w *Writer) nextDeadline() time.Time {
	next := w.lastSent.Add(w.heartbeat)
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.flushAt.IsZero() && w.flushAt.Before(next) {
		next = w.flushAt
	}
	return next
}

func (w *Writer) silentAt() time.Time {
	return w.began.Add(time.Duration(w.heard.Load()) + SilentIntervals*w.heartbeat)
}

// onTimer moves the lanes that owe a receipt to the ready list, and pings when nothing was sent for the
// heartbeat interval.
func (w *Writer) onTimer(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.flushAt.IsZero() && !now.Before(w.flushAt) {
		for _, l := range w.owing {
			l.owing = false
			if !l.queued && !l.urgent {
				l.queued = true
				w.queued.push(l)
			}
		}
		clear(w.owing)
		w.owing, w.flushAt = w.owing[:0], time.Time{}
	}
	if w.ping == nil && !now.Before(w.lastSent.Add(w.heartbeat)) {
		w.pingNonce++
		w.ping = &holdfastv1.PingMessage{Nonce: w.pingNonce}
	}
}
