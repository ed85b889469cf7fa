package bench

import (
	"math/rand/v2"
	"time"
)

// paceGrain is how long the pacer sleeps at least: a message leaves so much after it is due at most, and the
// pacer costs little.
const paceGrain = 100 * time.Microsecond

// pace begins an open loop: all streams together send so many messages a second, spread evenly over the streams
// and over time.
func (f *fleet) pace(rate float64) {
	lanes := make([]*lane, len(f.lanes))
	for to, from := range rand.Perm(len(lanes)) { // Neighbours in time share no connection.
		lanes[to] = f.lanes[from]
	}
	slot := time.Duration(float64(time.Second) / rate)
	interval := time.Duration(float64(time.Second) * float64(len(lanes)) / rate)
	begin := f.now() + time.Millisecond
	for i, l := range lanes {
		l.phase = begin + time.Duration(i)*slot + rand.N(max(slot, 1))
		l.interval = max(interval, 1)
		f.running.Go(func() { f.note(l.paceSend()) })
		f.running.Go(func() { f.note(l.paceReceive()) })
	}
	f.running.Go(func() { f.wakeWhenDue(lanes) })
}

// wakeWhenDue wakes the senders until the fleet stops. Their phases are in the order of lanes and within one
// interval, so the streams become due in turn. One sleeper for all is more exact than a timer each: the timers of
// the runtime may come a millisecond late.
func (f *fleet) wakeWhenDue(lanes []*lane) {
	for turn := 0; ; {
		now := f.now()
		for ; ; turn++ {
			l := lanes[turn%len(lanes)]
			due := l.phase + time.Duration(turn/len(lanes))*l.interval
			if due > now {
				if f.sleep(max(due-now, paceGrain)) {
					break
				}
				return
			}
			l.due.Add(1)
			select {
			case l.wake <- struct{}{}:
			default: // It has not seen the last one yet.
			}
		}
	}
}

// sleep sleeps and reports whether the load goes on.
func (f *fleet) sleep(d time.Duration) bool {
	const longest = 10 * time.Millisecond // so that the end is seen in time
	exactSleep(min(d, longest))
	return !f.stopping.Load() && f.ctx.Err() == nil
}
