package wire

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strconv"
)

// ProtocolVersion is the version of holdfast.v1 that this code speaks.
const ProtocolVersion = 1

// NewID draws a connection id or process nonce at random; never 0.
func NewID() uint64 {
	var b [8]byte
	for {
		_, _ = rand.Read(b[:]) // never fails, says its documentation
		if id := binary.LittleEndian.Uint64(b[:]); id != 0 {
			return id
		}
	}
}

// FormatID returns the id as people see it: 16 hexadecimal digits.
func FormatID(id uint64) string { return fmt.Sprintf("%016x", id) }

// ParseID reads what FormatID wrote.
func ParseID(s string) (uint64, error) {
	id, err := strconv.ParseUint(s, 16, 64)
	if err != nil || len(s) != 16 || id == 0 {
		return 0, fmt.Errorf("connection id %q: want 16 hexadecimal digits", s)
	}
	return id, nil
}
