package ordering

// queue is a first-in first-out list of messages that reuses its room.
type queue struct {
	items []Message
	// head is the index of the first item; what stands before it is zero.
	head int
}

func (q *queue) len() int { return len(q.items) - q.head }

func (q *queue) at(i int) Message { return q.items[q.head+i] }

func (q *queue) push(ms ...Message) {
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	} else if q.head > len(q.items)/2 && len(q.items)+len(ms) > cap(q.items) {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, ms...)
}

func (q *queue) pop() Message {
	m := q.items[q.head]
	q.items[q.head] = Message{}
	q.head++
	return m
}
