package bench

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
)

// What a frame of WebSocket says in its first two bytes.
const (
	frameFinal  = 0x80
	frameKind   = 0x0f
	frameMasked = 0x80
	frameLength = 0x7f

	frameBinary = 2
	frameClose  = 8
	framePing   = 9
	framePong   = 10

	maxControl  = 125 // bytes of a ping
	closeNormal = 1000
)

// socketBuffer is what a client reads at a time.
const socketBuffer = 4 << 10

// socket is a client over WebSocket in plain mode: a frame is a message, and what is sent in one go leaves in one write, as in a
// browser. It is a connection with one stream. Its reader answers pings also while nobody receives.
type socket struct {
	*handover
	address string
	conn    net.Conn
	in      *bufio.Reader
	reading sync.WaitGroup
	over    chan struct{} // closed with the connection

	mu  sync.Mutex
	out []byte // under mu
}

// dialSocket makes connections for clients over WebSocket.
func dialSocket(address string, inflight int) (connection, error) {
	return &socket{handover: newHandover(inflight), address: address, over: make(chan struct{})}, nil
}

func (s *socket) close() {
	close(s.over)
	if s.conn != nil {
		_ = s.conn.Close()
	}
	s.reading.Wait()
}

// open connects. It may be called once.
func (s *socket) open(ctx context.Context) (wire, error) {
	if s.conn != nil {
		return nil, errors.New("a socket has one stream; make a connection for each")
	}
	var err error
	if s.conn, err = new(net.Dialer).DialContext(ctx, "tcp", s.address); err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = s.conn.Close() })
	s.in = bufio.NewReaderSize(s.conn, socketBuffer)
	if err := s.upgrade(); err != nil {
		return nil, fmt.Errorf("open a socket: %w", err)
	}
	s.reading.Go(s.read)
	return s, nil
}

// upgrade makes the connection a socket. The key says nothing to a server that is known.
func (s *socket) upgrade() error {
	_, err := fmt.Fprintf(s.conn, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: holdfast.plain\r\n\r\n", s.address)
	if err != nil {
		return err
	}
	response, err := http.ReadResponse(s.in, nil)
	if err != nil {
		return whole(err)
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("the answer is %s", response.Status)
	}
	return nil
}

// read hands the messages over until the socket ends.
func (s *socket) read() {
	for {
		if err := s.readFrame(); err != nil {
			s.end(err)
			return
		}
	}
}

func (s *socket) readFrame() error {
	kind, length, err := s.head()
	if err != nil {
		return whole(err)
	}
	payload := s.slot(length)
	if _, err := io.ReadFull(s.in, payload); err != nil {
		return whole(err)
	}
	switch kind {
	case frameFinal | frameBinary:
		return s.put(payload, s.over)
	case frameFinal | framePing:
		s.next-- // the slot is free again
		return s.write(func(b []byte) []byte { return appendFrame(b, framePong, payload) })
	case frameFinal | frameClose:
		if length >= 2 && binary.BigEndian.Uint16(payload) == closeNormal {
			return io.EOF
		}
		return fmt.Errorf("the socket was closed: %q", payload)
	}
	return fmt.Errorf("%w: a frame begins with %#x; only whole binary ones were sent", errCorrupted, kind)
}

// head reads the head of a frame: what the server sends has no mask.
func (s *socket) head() (kind byte, length int, err error) {
	var head [8]byte
	if _, err := io.ReadFull(s.in, head[:2]); err != nil {
		return 0, 0, err
	}
	kind, length = head[0], int(head[1])
	switch length {
	case frameLength:
		_, err = io.ReadFull(s.in, head[:8])
		length = int(min(binary.BigEndian.Uint64(head[:]), maxSize+1))
	case frameLength - 1:
		_, err = io.ReadFull(s.in, head[:2])
		length = int(binary.BigEndian.Uint16(head[:]))
	}
	if err == nil && (length > maxSize || kind&frameKind >= frameClose && length > maxControl) {
		err = fmt.Errorf("%w: a frame that begins with %#x has %d bytes", errCorrupted, kind, length)
	}
	return kind, length, err
}

// write sends what add appends, in one write.
func (s *socket) write(add func([]byte) []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out = add(s.out[:0])
	_, err := s.conn.Write(s.out)
	return err
}

func (s *socket) send(messages [][]byte) error {
	err := s.write(func(b []byte) []byte {
		for _, m := range messages {
			b = appendFrame(b, frameBinary, m)
		}
		return b
	})
	if err != nil {
		return io.EOF // the reader knows why
	}
	return nil
}

func (s *socket) closeSend() error {
	return s.write(func(b []byte) []byte {
		return appendFrame(b, frameClose, binary.BigEndian.AppendUint16(nil, closeNormal))
	})
}

// appendFrame appends a frame of a client, whose payload has a mask.
func appendFrame(b []byte, kind byte, payload []byte) []byte {
	b = append(b, frameFinal|kind)
	switch n := len(payload); {
	case n < frameLength-1:
		b = append(b, frameMasked|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, frameMasked|(frameLength-1)), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, frameMasked|frameLength), uint64(n))
	}
	mask := rand.Uint32()
	b = binary.LittleEndian.AppendUint32(b, mask)
	for ; len(payload) >= 4; payload = payload[4:] {
		b = binary.LittleEndian.AppendUint32(b, binary.LittleEndian.Uint32(payload)^mask)
	}
	for i, c := range payload {
		b = append(b, c^byte(mask>>(8*i)))
	}
	return b
}
