package bench

import "errors"

// handover passes the payloads of one stream from the reader of its connection to the receiver of the stream.
type handover struct {
	// Owned by the reader of the connection; err is set before payloads is closed.
	ring  [][]byte
	next  int
	ended bool
	err   error

	payloads chan []byte
	// last is owned by the receiver.
	last [][]byte
}

// newHandover returns one for a stream that has so many messages under way.
func newHandover(inflight int) *handover {
	h := &handover{payloads: make(chan []byte, inflight+1), last: make([][]byte, 0, inflight+1)}
	// Payloads stand in the channel, in what was received last, and under the reader's hand.
	h.ring = make([][]byte, 2*cap(h.payloads)+1)
	return h
}

// slot returns the buffer for the next payload.
func (h *handover) slot(length int) []byte {
	i := h.next % len(h.ring)
	h.next++
	if cap(h.ring[i]) < length {
		h.ring[i] = make([]byte, length)
	}
	return h.ring[i][:length]
}

// put hands a payload over, unless the connection is over before it is taken.
func (h *handover) put(payload []byte, over <-chan struct{}) error {
	select {
	case h.payloads <- payload:
		return nil
	case <-over:
		return errors.New("the connection was closed")
	}
}

// end says, once, why nothing more comes.
func (h *handover) end(why error) {
	if !h.ended {
		h.err, h.ended = why, true
		close(h.payloads)
	}
}

// receive returns all that waits, but not more than fits beside the channel in the ring.
func (h *handover) receive() ([][]byte, error) {
	payload, ok := <-h.payloads
	if !ok {
		return nil, h.err
	}
	h.last = append(h.last[:0], payload)
	for len(h.last) < cap(h.last) {
		select {
		case payload, ok := <-h.payloads:
			if !ok {
				return h.last, nil // The next receive says why.
			}
			h.last = append(h.last, payload)
		default:
			return h.last, nil
		}
	}
	return h.last, nil
}
