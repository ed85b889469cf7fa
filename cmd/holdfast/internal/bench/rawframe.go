package bench

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
)

// The raw relay is the machine's limit: TCP, a length, a stream id, the payload, and nothing else. A frame with no
// payload asks for the end of its stream, and answers that.
const (
	rawHeader = 4 + 8
	rawBuffer = 64 << 10
	rawMost   = maxSize // bytes of a payload
)

// rawReader reads frames. It is used by one goroutine.
type rawReader struct {
	in      *bufio.Reader
	header  [rawHeader]byte
	payload []byte
}

func newRawReader(in io.Reader) *rawReader { return &rawReader{in: bufio.NewReaderSize(in, rawBuffer)} }

// head reads the head of the next frame.
func (r *rawReader) head() (id uint64, length int, err error) {
	if _, err := io.ReadFull(r.in, r.header[:]); err != nil {
		return 0, 0, err
	}
	length = int(binary.BigEndian.Uint32(r.header[:]))
	if length > rawMost {
		return 0, 0, fmt.Errorf("a frame of %d bytes is not allowed; %d is", length, rawMost)
	}
	return binary.BigEndian.Uint64(r.header[4:]), length, nil
}

// frame reads the next frame; the payload is valid until the next one.
func (r *rawReader) frame() (id uint64, payload []byte, err error) {
	id, length, err := r.head()
	if err != nil {
		return 0, nil, err
	}
	if cap(r.payload) < length {
		r.payload = make([]byte, length)
	}
	r.payload = r.payload[:length]
	_, err = io.ReadFull(r.in, r.payload)
	return id, r.payload, err
}

// idle reports that nothing more has come yet.
func (r *rawReader) idle() bool { return r.in.Buffered() == 0 }

// rawWriter writes frames. It is safe for concurrent use.
type rawWriter struct {
	mu     sync.Mutex
	out    *bufio.Writer   // under mu
	header [rawHeader]byte // under mu
}

func newRawWriter(out io.Writer) *rawWriter {
	return &rawWriter{out: bufio.NewWriterSize(out, rawBuffer)}
}

// frame writes a frame; with flush all that was written goes out.
func (w *rawWriter) frame(id uint64, payload []byte, flush bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	binary.BigEndian.PutUint32(w.header[:], uint32(len(payload)))
	binary.BigEndian.PutUint64(w.header[4:], id)
	if _, err := w.out.Write(w.header[:]); err != nil {
		return err
	}
	if _, err := w.out.Write(payload); err != nil {
		return err
	}
	if flush {
		return w.out.Flush()
	}
	return nil
}

// flush sends all that was written.
func (w *rawWriter) flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.Flush()
}
