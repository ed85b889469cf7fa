package wire

import (
	"strings"
	"testing"

	"github.com/holdfast/holdfast/pkg/ordering"
)

// fakeEnd has a number of messages of one size for one path.
type fakeEnd struct {
	path        ordering.Path
	given, left int
	size        int
}

func (e *fakeEnd) Ready(path ordering.Path) bool { return path == e.path && e.left > 0 }

func (e *fakeEnd) Next(path ordering.Path) (ordering.Frame, bool) {
	if !e.Ready(path) {
		return ordering.Frame{}, false
	}
	e.left--
	e.given++
	return ordering.Frame{Kind: ordering.Data, Seq: uint64(e.given), Message: ordering.Message{
		Kind: ordering.Text, Payload: []byte(strings.Repeat("x", e.size)),
	}}, true
}

func TestLanePull(t *testing.T) {
	for _, c := range []struct {
		name   string
		end    fakeEnd
		pulled int
		more   bool
	}{
		{"nothing", fakeEnd{path: 1}, 0, false},
		{"less than the quantum", fakeEnd{path: 1, left: 3}, 3, false},
		{"exactly the quantum: there may be a receipt", fakeEnd{path: 1, left: 4}, 4, true},
		{"more than the quantum", fakeEnd{path: 1, left: 5}, 4, true},
		{"what is for another path stays", fakeEnd{path: 2, left: 5}, 0, false},
		{"what makes the batch full is the last", fakeEnd{path: 1, left: 3, size: maxBatchBytes}, 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b Batch
			var completed []uint64
			l := NewLane(NewWriter(1, 0, nil), nil)
			more := l.Pull(&b, 4, 42, &c.end, func(f ordering.Frame) Extra {
				completed = append(completed, f.Seq)
				return Extra{}
			})
			for i, f := range message(t, &b).GetFrames() {
				if f.GetConnectionId() != 42 || f.GetData().GetSeq() != completed[i] {
					t.Errorf("frame %d was added as %v", completed[i], f)
				}
			}
			if b.Frames() != c.pulled || len(completed) != c.pulled || c.end.given != c.pulled || more != c.more {
				t.Errorf("added %d, completed %v, taken %d, more %v; want %d and %v",
					b.Frames(), completed, c.end.given, more, c.pulled, c.more)
			}
		})
	}
}
