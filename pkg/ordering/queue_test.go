package ordering

import (
	"math/rand/v2"
	"testing"
)

func TestQueue(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var q queue
	var pushed, popped int32
	const most = 20
	for range 10_000 {
		if n := r.Int32N(3); pushed-popped+n <= most && r.IntN(2) == 0 {
			var ms []Message
			for range n {
				pushed++
				ms = append(ms, Message{Reason: pushed})
			}
			q.push(ms...)
		} else if q.len() > 0 {
			popped++
			if m := q.pop(); m.Reason != popped {
				t.Fatalf("popped %d, want %d", m.Reason, popped)
			}
		}
		if q.len() != int(pushed-popped) || (q.len() > 0 && q.at(q.len()-1).Reason != pushed) {
			t.Fatalf("%d items after %d pushed and %d popped", q.len(), pushed, popped)
		}
	}
	if pushed < 1000 || cap(q.items) > 4*most {
		t.Errorf("room for %d items after %d pushed, never more than %d at once", cap(q.items), pushed, most)
	}
	for i, m := range q.items[:q.head] {
		if m.Reason != 0 {
			t.Errorf("item %d was given out and is still held", i)
		}
	}
}
