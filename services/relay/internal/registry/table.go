package registry

import (
	"iter"
	"sync"

	"github.com/holdfast/holdfast/services/relay/internal/logical"
)

const shards = 64

// table holds the logical connections by id. It is safe for concurrent use.
type table struct {
	shards [shards]shard
}

type shard struct {
	mu sync.RWMutex
	m  map[uint64]*logical.Connection
}

func (t *table) shard(id uint64) *shard { return &t.shards[id%shards] }

func (t *table) get(id uint64) *logical.Connection {
	s := t.shard(id)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.m[id]
}

// add adds the connection unless its id is taken.
func (t *table) add(c *logical.Connection) bool {
	s := t.shard(c.ID)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m == nil {
		s.m = make(map[uint64]*logical.Connection)
	}
	if s.m[c.ID] != nil {
		return false
	}
	s.m[c.ID] = c
	return true
}

func (t *table) remove(id uint64) {
	s := t.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.m, id)
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
			for _, c := range s.m {
				copied = append(copied, c)
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
