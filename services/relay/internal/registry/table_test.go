package registry

import (
	"testing"

	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/logical"
	"github.com/holdfast/holdfast/services/relay/internal/serverconn"
)

// An app server's answer to a challenger that has left is for nobody: it is no breach towards the one that has the connection.
func TestLateAnswerIsForNobody(t *testing.T) {
	s := &serverconn.Conn{Path: 1, Window: 1 << 10, Writer: wire.NewWriter(1, 0, nil)}
	current := logical.Adopt(logical.Info{ID: 7}, s, nil, nil, logical.Claim{Token: 2})
	challenger := logical.Adopt(logical.Info{ID: 7}, s, nil, nil, logical.Claim{Token: 3})
	var all table
	all.add(current)
	own, next := current.Generation(), challenger.Generation()
	epoch := func(generation uint32) ordering.Epoch { return ordering.Epoch(uint64(generation)<<32 | 1) }
	all.challenge(challenger)
	if c, known := all.addressee(7, epoch(next)); c != challenger || !known {
		t.Errorf("with a challenger of the generation: %v, %t", c, known)
	}
	all.remove(challenger)
	if c, known := all.addressee(7, epoch(next)); c != nil || !known {
		t.Errorf("once it has left: %v, %t; want nobody, and that it is known", c, known)
	}
	if c, known := all.addressee(7, epoch(own)); c != current || !known {
		t.Errorf("of its own generation: %v, %t", c, known)
	}
}
