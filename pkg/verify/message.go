package verify

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"
)

// A traffic message is binary: 4 bytes that name the form, the tag of its client, the number, the time at
// which it was sent, random bytes, and a checksum over all that. Numbers are big endian.
const (
	form         = "hft1"
	tagAt        = len(form)
	numberAt     = tagAt + 8
	sentAt       = numberAt + 8
	headerSize   = sentAt + 8
	checksumSize = 4
)

// MinSize is the size of a traffic message with no random bytes.
const MinSize = headerSize + checksumSize

var (
	// ErrOtherForm says that a message was not made by a traffic client.
	ErrOtherForm = errors.New("not a traffic message")
	// ErrChecksum says that a traffic message is not what was sent.
	ErrChecksum = errors.New("the checksum does not fit the message")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Header is what a traffic message says about itself.
type Header struct {
	// Tag is drawn at random for each logical connection, so that a message of another one is recognised.
	Tag uint64
	// Number counts the messages of the logical connection from 1.
	Number uint64
	// Sent is when the client sent it, on the clock of that client.
	Sent time.Time
}

// Encode makes a traffic message of size bytes; random gives the bytes that fill it.
func Encode(h Header, size int, random io.Reader) ([]byte, error) {
	if size < MinSize {
		return nil, fmt.Errorf("size %d: a traffic message has at least %d bytes", size, MinSize)
	}
	b := make([]byte, size)
	copy(b, form)
	binary.BigEndian.PutUint64(b[tagAt:], h.Tag)
	binary.BigEndian.PutUint64(b[numberAt:], h.Number)
	binary.BigEndian.PutUint64(b[sentAt:], uint64(h.Sent.UnixNano()))
	end := size - checksumSize
	if _, err := io.ReadFull(random, b[headerSize:end]); err != nil {
		return nil, fmt.Errorf("fill a traffic message: %w", err)
	}
	binary.BigEndian.PutUint32(b[end:], crc32.Checksum(b[:end], castagnoli))
	return b, nil
}

// Decode reads a traffic message. With ErrChecksum it returns what the header seems to say.
func Decode(b []byte) (Header, error) {
	if len(b) < MinSize || string(b[:len(form)]) != form {
		return Header{}, ErrOtherForm
	}
	h := Header{
		Tag:    binary.BigEndian.Uint64(b[tagAt:]),
		Number: binary.BigEndian.Uint64(b[numberAt:]),
		Sent:   time.Unix(0, int64(binary.BigEndian.Uint64(b[sentAt:]))),
	}
	end := len(b) - checksumSize
	if crc32.Checksum(b[:end], castagnoli) != binary.BigEndian.Uint32(b[end:]) {
		return h, ErrChecksum
	}
	return h, nil
}
