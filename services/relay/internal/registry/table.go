package registry

import (
	"iter"
	"sync"

	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/services/relay/internal/logical"
)

const shards = 64

// table holds the logical connections by id. It is safe for concurrent use.
type table struct {
	shards [shards]shard
}

type shard struct {
	mu sync.RWMutex
	m  map[uint64]entry
}

// entry is what there is of one id. While a client comes anew there are two: the current one goes on until the app server has given the
// connection to the challenger, and if it does not.
type entry struct {
	current, challenger *logical.Connection
	// generation is the current one's, which does not change while it is that.
	generation uint32
	// left is when the challenger leaves its place; nil without one.
	left *departure
}

func (t *table) shard(id uint64) *shard { return &t.shards[id%shards] }

// get returns the current connection, or nil.
func (t *table) get(id uint64) *logical.Connection { return t.entry(id).current }

func (t *table) entry(id uint64) entry {
	s := t.shard(id)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.m[id]
}

// addressee returns whom a frame of the epoch is for, or nil, and whether anything of the id is known.
func (t *table) addressee(id uint64, epoch ordering.Epoch) (c *logical.Connection, known bool) {
	e := t.entry(id)
	if e.challenger != nil && e.challenger.Generation() == epoch.Generation() {
		return e.challenger, true
	}
	if e.current != nil && epoch.Generation() > e.generation {
		return nil, true // the late answer to a challenger that has left
	}
	return e.current, e != entry{}
}

// add adds the connection unless its id is taken.
func (t *table) add(c *logical.Connection) bool {
	return t.change(c.ID, func(e *entry) bool {
		free := *e == entry{}
		if free {
			e.current, e.generation = c, c.Generation()
		}
		return free
	})
}

// challenge adds the challenger unless there is one.
func (t *table) challenge(c *logical.Connection) bool {
	return t.change(c.ID, func(e *entry) bool {
		free := e.challenger == nil
		if free {
			e.challenger, e.left = c, &departure{left: make(chan struct{})}
		}
		return free
	})
}

// promote makes the challenger the current one, and returns the one that was.
func (t *table) promote(c *logical.Connection) (former *logical.Connection) {
	t.change(c.ID, func(e *entry) bool {
		if e.challenger == c {
			close(e.left.left)
			former, *e = e.current, entry{current: c, generation: c.Generation()}
		}
		return true
	})
	return former
}

func (t *table) remove(c *logical.Connection) {
	t.change(c.ID, func(e *entry) bool {
		if e.current == c {
			e.current, e.generation = nil, 0
		}
		if e.challenger == c {
			close(e.left.left)
			e.challenger, e.left = nil, nil
		}
		return true
	})
}

func (t *table) change(id uint64, how func(*entry) bool) bool {
	s := t.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.m[id]
	ok := how(&e)
	switch {
	case e == entry{}:
		delete(s.m, id)
	case s.m == nil:
		s.m = map[uint64]entry{id: e}
	default:
		s.m[id] = e
	}
	return ok
}

// len returns how many there are.
func (t *table) len() int {
	n := 0
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.RLock()
		n += len(s.m)
		s.mu.RUnlock()
	}
	return n
}

// all yields every connection that was there when its shard was read. The caller may call anything.
func (t *table) all() iter.Seq[*logical.Connection] {
	return func(yield func(*logical.Connection) bool) {
		var copied []*logical.Connection
		for i := range t.shards {
			s := &t.shards[i]
			copied = copied[:0]
			s.mu.RLock()
			for _, e := range s.m {
				for _, c := range []*logical.Connection{e.current, e.challenger} {
					if c != nil {
						copied = append(copied, c)
					}
				}
			}
			s.mu.RUnlock()
			for _, c := range copied {
				if !yield(c) {
					return
				}
			}
		}
	}
}
