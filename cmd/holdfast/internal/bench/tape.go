package bench

import (
	"bytes"
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// headerSize is what stands at the head of a message: its number and when it was sent.
const headerSize = 16

// What can be wrong with an echo.
var (
	errLost      = errors.New("a message was lost or overtaken")
	errDoubled   = errors.New("a message was doubled or came late")
	errCorrupted = errors.New("a message was corrupted")
	errExtra     = errors.New("a message came that was never sent")
	errMissing   = errors.New("messages were lost")
)

// tape writes the messages of one stream and checks what comes back: each message once, in order, unchanged.
// One goroutine may write while another checks.
type tape struct {
	// block is random and the same in every message of the stream but for the first headerSize bytes.
	block []byte

	// Owned by the writer.
	written uint64
	buffers [][]byte

	// Owned by the checker: messages checked so far, which is the number of the next one.
	checked uint64
}

func newTape(size int) *tape {
	block := make([]byte, size)
	_, _ = crand.Read(block) // Never fails.
	return &tape{block: block}
}

// write returns the next message, stamped with a time. Buffer says which of the stream's buffers it may use;
// what was written there before is gone.
func (t *tape) write(buffer int, stamp time.Duration) []byte {
	for len(t.buffers) <= buffer {
		t.buffers = append(t.buffers, bytes.Clone(t.block))
	}
	b := t.buffers[buffer]
	binary.BigEndian.PutUint64(b, t.written)
	binary.BigEndian.PutUint64(b[8:], uint64(stamp))
	t.written++
	return b
}

// check takes an echo and returns the time that it was stamped with.
func (t *tape) check(echo []byte) (time.Duration, error) {
	if len(echo) != len(t.block) {
		return 0, fmt.Errorf("%w: message %d has %d bytes, not %d", errCorrupted, t.checked, len(echo), len(t.block))
	}
	if !bytes.Equal(echo[headerSize:], t.block[headerSize:]) {
		return 0, fmt.Errorf("%w: message %d has other content", errCorrupted, t.checked)
	}
	switch number := binary.BigEndian.Uint64(echo); {
	case number > t.checked:
		return 0, fmt.Errorf("%w: message %d came where %d was due", errLost, number, t.checked)
	case number < t.checked:
		return 0, fmt.Errorf("%w: message %d came where %d was due", errDoubled, number, t.checked)
	}
	t.checked++
	return time.Duration(binary.BigEndian.Uint64(echo[8:])), nil
}
