package wire

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// Encoder is a message that encodes itself as protobuf.
type Encoder interface {
	// Size is an upper bound of what AppendTo appends, in bytes.
	Size() int
	AppendTo(b []byte) ([]byte, error)
}

// Decoder is a message that decodes itself. It owns the buffer from then on and frees it when it needs it no more.
type Decoder interface {
	Decode(b mem.Buffer) error
}

// Codec is protobuf for gRPC. Messages that are an Encoder or a Decoder go past the generated code, for the paths on which
// every frame counts; all others take it.
type Codec struct{}

var standard = encoding.GetCodecV2(proto.Name)

// BufferPool has a tier for each power of two: the default one of grpc has none between 32 KiB and 1 MiB.
var BufferPool = newBufferPool()

func newBufferPool() mem.BufferPool {
	var tiers []uint8
	for bits := uint8(8); bits <= 24; bits++ {
		tiers = append(tiers, bits)
	}
	pool, err := mem.NewBinaryTieredBufferPool(tiers...)
	if err != nil {
		panic(err) // the tiers are constants
	}
	return pool
}

// Marshal implements encoding.CodecV2.
func (Codec) Marshal(v any) (mem.BufferSlice, error) {
	m, ok := v.(Encoder)
	if !ok {
		return standard.Marshal(v)
	}
	size := m.Size()
	if mem.IsBelowBufferPoolingThreshold(size) { // grpc gives such a buffer back to no pool
		encoded, err := m.AppendTo(make([]byte, 0, size))
		if err != nil {
			return nil, err
		}
		return mem.BufferSlice{mem.SliceBuffer(encoded)}, nil
	}
	buffer := BufferPool.Get(size)
	encoded, err := m.AppendTo((*buffer)[:0])
	if err != nil {
		BufferPool.Put(buffer)
		return nil, err
	}
	*buffer = encoded
	return mem.BufferSlice{mem.NewBuffer(buffer, BufferPool)}, nil
}

// Unmarshal implements encoding.CodecV2.
func (Codec) Unmarshal(data mem.BufferSlice, v any) error {
	if m, ok := v.(Decoder); ok {
		return m.Decode(data.MaterializeToBuffer(BufferPool))
	}
	return standard.Unmarshal(data, v)
}

// Name implements encoding.CodecV2.
func (Codec) Name() string { return proto.Name }

// Fields calls f for each field of an encoded message that has a length, in order, and passes over others. It refuses what is
// no protobuf, as the generated code does.
func Fields(b []byte, f func(number protowire.Number, value []byte) error) error {
	return FieldsAndNumbers(b, f, nil)
}

// FieldsAndNumbers is Fields, and calls numbers, unless it is nil, for each field that is a varint.
func FieldsAndNumbers(
	b []byte, f func(number protowire.Number, value []byte) error, numbers func(number protowire.Number, value uint64),
) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		if number > protowire.MaxValidNumber {
			return fmt.Errorf("field number %d is above %d", number, protowire.MaxValidNumber)
		}
		b = b[n:]
		if kind == protowire.VarintType && numbers != nil {
			value, n := protowire.ConsumeVarint(b)
			if n < 0 {
				return protowire.ParseError(n)
			}
			b = b[n:]
			numbers(number, value)
			continue
		}
		if kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
				return protowire.ParseError(n)
			}
			b = b[n:]
			continue
		}
		value, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if err := f(number, value); err != nil {
			return err
		}
	}
	return nil
}
