package wire

import (
	"math"
	"testing"
)

func TestIDsComeBack(t *testing.T) {
	for _, id := range []uint64{1, 0xab, 1 << 63, math.MaxUint64, NewID()} {
		s := FormatID(id)
		if got, err := ParseID(s); len(s) != 16 || got != id || err != nil {
			t.Errorf("%x is written %q and read %x, %v", id, s, got, err)
		}
	}
	if got, err := ParseID("00000000000000AB"); got != 0xab || err != nil {
		t.Errorf("upper case: %x, %v", got, err)
	}
}

func TestParseIDRefuses(t *testing.T) {
	for _, s := range []string{
		"", "0000000000000000", "1", "000000000000001", "00000000000000001", "000000000000000g", "0x00000000000001",
		"+000000000000001", "-000000000000001", " 00000000000000a", "0000_0000_000001", "ａ0000000000000",
	} {
		if id, err := ParseID(s); err == nil {
			t.Errorf("%q was read as %x", s, id)
		}
	}
}

func TestNewIDsDiffer(t *testing.T) {
	seen := make(map[uint64]bool)
	for range 1000 {
		id := NewID()
		if id == 0 || seen[id] {
			t.Fatalf("%x is 0 or was drawn before", id)
		}
		seen[id] = true
	}
}
