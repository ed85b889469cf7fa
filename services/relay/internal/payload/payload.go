// Package payload lends the memory for payloads of messages that go through the relay.
package payload

import (
	"math/bits"
	"sync"
)

// Payloads have room of a power of two between these; larger ones are left to the collector.
const (
	minBits = 6
	maxBits = 14
)

var pools [maxBits - minBits + 1]sync.Pool // of *[]byte, whose room is all of one class

// boxes are the pointers that the pools hold, without a slice: a pool takes pointers without an allocation.
var boxes = sync.Pool{New: func() any { return new([]byte) }}

// Clone returns a copy of b. It is the caller's until Free.
func Clone(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	class := max(bits.Len(uint(len(b)-1)), minBits)
	if class > maxBits {
		return append([]byte(nil), b...)
	}
	if box, _ := pools[class-minBits].Get().(*[]byte); box != nil {
		c := (*box)[:len(b)]
		*box = nil
		boxes.Put(box)
		copy(c, b)
		return c
	}
	c := make([]byte, len(b), 1<<class)
	copy(c, b)
	return c
}

// Free takes back what Clone returned, for the next one. Nobody may use it any more. Other slices whose room is a class's are taken as well.
func Free(b []byte) {
	class := bits.Len(uint(cap(b))) - 1
	if class < minBits || class > maxBits || cap(b) != 1<<class {
		return
	}
	box := boxes.Get().(*[]byte)
	*box = b
	pools[class-minBits].Put(box)
}
