package progress

import (
	"bytes"
	"testing"

	"go.uber.org/goleak"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Clients that were asked to move are spoken of when there are any.
func TestBesideBar(t *testing.T) {
	t.Parallel()
	left := []*holdfastv1.LeftCount{
		{Reason: holdfastv1.LeftReason_LEFT_REASON_OPENING, Connections: 2},
		{Reason: holdfastv1.LeftReason_LEFT_REASON_CLIENT_THROUGH_INGRESS, Connections: 7},
	}
	for want, p := range map[string]*holdfastv1.ReloadIngressResponse{
		"2 waiting ":                        {Left: left},
		"0 waiting 0 of 9 clients moved ":   {ClientsAsked: 9},
		"2 waiting 12 of 40 clients moved ": {Left: left, ClientsAsked: 40, ClientsMoved: 12},
	} {
		if got := besideBar(p); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// A bar ends however far it came, and twice.
func TestBarEnds(t *testing.T) {
	t.Parallel()
	for name, reload := range map[string][]*holdfastv1.ReloadIngressResponse{
		"nothing shown":   {},
		"cut short":       {{Planned: 5, Moved: 2}},
		"all moved":       {{Planned: 5, Moved: 2}, {Planned: 5, Moved: 5, Done: true}},
		"nothing to move": {{Done: true}},
		"not all moved":   {{Planned: 5, Moved: 2}, {Planned: 5, Moved: 4, Done: true}},
		"more to move":    {{Planned: 2, Moved: 2}, {Planned: 5, Moved: 3}, {Planned: 5, Moved: 5, Done: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := NewBar(&bytes.Buffer{}, "a")
			for _, p := range reload {
				if err := b.Show(p); err != nil {
					t.Error(err)
				}
			}
			b.End()
			b.End()
		})
	}
}
