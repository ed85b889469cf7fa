package wire

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// receipts returns when each receipt was sent, by connection.
func (r *rig) receipts() map[uint64][]time.Duration {
	at := make(map[uint64][]time.Duration)
	for _, s := range r.soFar() {
		for _, f := range s.frames {
			if f.GetReceipt() != nil {
				at[f.GetConnectionId()] = append(at[f.GetConnectionId()], s.at)
			}
		}
	}
	return at
}

func TestOwedReceiptGoesAfterTheDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, time.Hour)
		a, b := r.source(1), r.source(2)
		r.run(t)
		time.Sleep(time.Second)
		a.owe()
		time.Sleep(receiptDelay / 2)
		b.owe() // goes with the other
		time.Sleep(time.Second)
		b.owe()
		time.Sleep(time.Second)
		want := map[uint64][]time.Duration{
			1: {time.Second + receiptDelay},
			2: {time.Second + receiptDelay, 2*time.Second + receiptDelay/2 + receiptDelay},
		}
		if got := r.receipts(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("receipts went at %v, want %v", got, want)
		}
	})
}

func TestOwedReceiptGoesWhileTheWriterIsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, time.Hour)
		r.takes = time.Millisecond
		busy, owing := r.source(1), r.source(2)
		busy.size = maxBatchBytes // one message, one batch
		busy.push(1<<30, false)
		r.run(t)
		time.Sleep(100 * time.Millisecond)
		owed := time.Since(r.began)
		owing.owe()
		time.Sleep(100 * time.Millisecond)
		got := r.receipts()[2]
		if len(got) != 1 || got[0]-owed < receiptDelay || got[0]-owed > receiptDelay+2*time.Millisecond {
			t.Errorf("a receipt owed at %v went at %v, want about %v later", owed, got, receiptDelay)
		}
	})
}

// A receipt that rode on a message meanwhile is not said again.
func TestOwedReceiptRidesOnWhatGoesAnyway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, time.Hour)
		s := r.source(1)
		r.run(t)
		s.owe()
		s.push(1, false)
		if got := r.receipts()[1]; len(got) != 1 || got[0] != 0 {
			t.Errorf("the receipt went at %v, want at once with the message", got)
		}
		time.Sleep(time.Second)
		if n := len(r.soFar()); n != 1 {
			t.Errorf("%d batches were sent, want 1", n)
		}
	})
}

// pings returns when each ping was sent.
func (r *rig) pings() []time.Duration {
	var at []time.Duration
	for _, s := range r.soFar() {
		if s.ping != nil && !s.ping.GetAnswer() {
			at = append(at, s.at)
		}
	}
	return at
}

// hears has the peer say something at each interval, as often as that.
func (r *rig) hears(interval time.Duration, times int) {
	for range times {
		time.Sleep(interval)
		r.Heard()
	}
}

func TestIdleWriterPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const beat = time.Second
		r := newRig(t, beat)
		s := r.source(1)
		r.run(t)
		r.hears(beat/2, 5)
		s.push(1, false) // at 2.5 s: the next ping is a beat after it
		r.hears(beat/2, 4)
		want := []time.Duration{beat, 2 * beat, 3*beat + beat/2, 4*beat + beat/2}
		if got := r.pings(); !slices.Equal(got, want) {
			t.Errorf("pings at %v, want %v", got, want)
		}
		seen := make(map[uint64]bool)
		for _, b := range r.soFar() {
			if b.ping == nil {
				continue
			}
			if n := b.ping.GetNonce(); seen[n] || n == 0 {
				t.Errorf("nonce %d is used again", n)
			}
			seen[b.ping.GetNonce()] = true
		}
	})
}

func TestBusyWriterDoesNotPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const beat = time.Second
		r := newRig(t, beat)
		s := r.source(1)
		r.run(t)
		for range 20 {
			s.push(1, false)
			r.hears(beat-time.Millisecond, 1)
		}
		if got := r.pings(); got != nil {
			t.Errorf("pings at %v, though something was sent in each interval", got)
		}
	})
}

func TestPingIsAnswered(t *testing.T) {
	for _, c := range []struct {
		name  string
		pings []*holdfastv1.PingMessage
		want  uint64 // 0: no answer
	}{
		{"a ping", []*holdfastv1.PingMessage{{Nonce: 7}}, 7},
		{"of several that wait the last", []*holdfastv1.PingMessage{{Nonce: 7}, {Nonce: 8}, nil}, 8},
		{"an answer", []*holdfastv1.PingMessage{{Nonce: 7, Answer: true}}, 0},
		{"none", []*holdfastv1.PingMessage{nil}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, time.Hour)
				for _, p := range c.pings {
					r.Ping(p)
				}
				r.run(t)
				batches := r.soFar()
				if c.want == 0 {
					if len(batches) != 0 {
						t.Errorf("answered with %v", batches)
					}
					return
				}
				if len(batches) != 1 || batches[0].ping.GetNonce() != c.want || !batches[0].ping.GetAnswer() {
					t.Errorf("got %v, want one answer to %d", batches, c.want)
				}
			})
		})
	}
}

func TestDrainingIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, time.Hour)
		r.run(t)
		r.Draining("going")
		if b := r.soFar(); len(b) != 1 || b[0].draining.GetDetail() != "going" || len(b[0].frames) != 0 {
			t.Errorf("got %v", b)
		}
	})
}

func TestSilentPeerEndsTheWriter(t *testing.T) {
	const beat = time.Second
	for _, c := range []struct {
		name  string
		heard int // how often the peer is heard, once in each beat, before it falls silent
		busy  bool
		want  time.Duration
	}{
		{"never heard", 0, false, 3 * beat},
		{"heard for a while", 10, false, 13 * beat},
		{"never heard by a busy writer", 0, true, 3 * beat},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, beat)
				if c.busy {
					r.takes = 10 * time.Millisecond
					s := r.source(1)
					s.size = maxBatchBytes // one message, one batch
					s.push(1<<30, false)
				}
				r.run(t)
				r.hears(beat, c.heard)
				<-r.done
				if got := time.Since(r.began); !errors.Is(r.cause, ErrSilent) || got != c.want {
					t.Errorf("ended after %v with %v; want %v and ErrSilent", got, r.cause, c.want)
				}
			})
		})
	}
}

// A stream that takes nothing any more is what a half-open path looks like under traffic. It must hide neither the
// silence of the peer nor the word of the owner; nothing is written after the send that was under way.
func TestBlockedOrBusyStreamDoesNotHoldUpTheEnd(t *testing.T) {
	const beat = time.Second
	cut := errors.New("cut")
	for _, c := range []struct {
		name string
		busy bool // else blocked
		end  func(*rig)
		want error
	}{
		{"blocked, silence", false, func(*rig) { time.Sleep(3 * beat) }, ErrSilent},
		{"blocked, context", false, func(r *rig) { r.cancel(cut) }, cut},
		{"busy, context", true, func(r *rig) { r.cancel(cut) }, cut},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, beat)
				if r.takes = time.Millisecond; !c.busy {
					r.block()
				}
				s := r.source(1)
				s.size = maxBatchBytes // one message, one batch
				s.push(1<<30, false)
				r.run(t)
				c.end(r)
				synctest.Wait()
				select {
				case <-r.done:
				default:
					t.Fatal("Run goes on")
				}
				if !errors.Is(r.cause, c.want) {
					t.Errorf("Run returned %v, want %v", r.cause, c.want)
				}
				before := len(r.soFar())
				r.unblock()
				r.Wait()
				if after := len(r.soFar()); after != before {
					t.Errorf("%d batches were sent after the end", after-before)
				}
			})
		})
	}
}
