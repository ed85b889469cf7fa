package js_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/wire"
)

var update = flag.Bool("update", false, "write the files of testdata anew")

// library is the folder of the library.
const library = "../../clients/js"

// golden compares a file of the library's testdata with what it should be. The tests of the library compare it with theirs.
func golden(t *testing.T, name string, lines []string) {
	t.Helper()
	path := filepath.Join(library, "testdata", name)
	want := strings.Join(lines, "\n") + "\n"
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what Go makes; go test ./test/js -update writes it anew:\n%s", path, want)
	}
}

const largest = 1<<53 - 1

func text(s string) *holdfastv1.ClientMessage {
	return &holdfastv1.ClientMessage{Content: &holdfastv1.ClientMessage_Text{Text: s}}
}

func longDuration(seconds int64, nanos int32) *durationpb.Duration {
	return &durationpb.Duration{Seconds: seconds, Nanos: nanos}
}

var requests = map[string]*holdfastv1.ConnectRequest{
	"hello":   {Hello: &holdfastv1.Hello{Application: "chat", Resumable: true}},
	"batches": {Hello: &holdfastv1.Hello{Batches: true}},
	"resume": {Hello: &holdfastv1.Hello{
		Resumable: true, Resume: &holdfastv1.ResumeRequest{Token: "tok.en", ReceivedSeq: 128, ConsumedSeq: 127},
	}},
	"empty":        {},
	"empty-hello":  {Hello: &holdfastv1.Hello{}},
	"text":         {Content: &holdfastv1.ConnectRequest_Text{Text: "grüße 👋\ufeff"}},
	"empty-text":   {Content: &holdfastv1.ConnectRequest_Text{}},
	"binary":       {Content: &holdfastv1.ConnectRequest_Binary{Binary: []byte{0, 255, 128}}},
	"empty-binary": {Content: &holdfastv1.ConnectRequest_Binary{}},
	"messages": {
		Messages: []*holdfastv1.ClientMessage{
			text("a"),
			{Content: &holdfastv1.ClientMessage_Binary{Binary: []byte{1}}},
			text(""),
			{Content: &holdfastv1.ClientMessage_HalfClose{HalfClose: true}},
			{Content: &holdfastv1.ClientMessage_Close{Close: &holdfastv1.ClientClose{
				Reason: holdfastv1.CloseReason_CLOSE_REASON_CLIENT_GONE, Detail: "bye",
			}}},
		},
		FirstSeq: largest, ConsumedSeq: 1, Welcomed: true,
	},
	"empty-message": {Messages: []*holdfastv1.ClientMessage{{}}, FirstSeq: 1},
}

var responses = map[string]*holdfastv1.ConnectResponse{
	"welcome": {Welcome: &holdfastv1.Welcome{
		ConnectionId: "00000000000000a1", Application: "chat", MaxMessageBytes: 1 << 20, Ingress: "a", ResumeToken: "token",
		ReceivedSeq: 300, ConsumedSeq: 299, Recovered: true, WindowBytes: math.MaxUint32, ResumeTime: longDuration(60, 500_000_000),
		RelayId: "relay-1",
	}},
	"long":    {Messages: []*holdfastv1.ClientMessage{text(strings.Repeat("x", 300))}, FirstSeq: 1 << 32},
	"receipt": {ConsumedSeq: math.MaxUint32},
	"token":   {ResumeToken: "fresh"},
	"reconnect": {Reconnect: &holdfastv1.Reconnect{
		Reason: holdfastv1.ReconnectReason_RECONNECT_REASON_INGRESS_RELOAD, Delay: longDuration(1, 1),
	}},
	"negative": {Reconnect: &holdfastv1.Reconnect{Reason: -2, Delay: longDuration(-5, -999_999_999)}},
}

func TestFramesAreThoseOfTheLibrary(t *testing.T) {
	var lines []string
	add := func(name string, m proto.Message) {
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, strings.TrimSpace(name+" "+hex.EncodeToString(b)))
	}
	for name, m := range requests {
		add("request-"+name, m)
	}
	for name, m := range responses {
		add("response-"+name, m)
	}
	slices.Sort(lines)
	golden(t, "frames.txt", lines)
}

// tag returns the tag of a field.
func tag(number protowire.Number, typ protowire.Type) []byte {
	return protowire.AppendTag(nil, number, typ)
}

// field returns a field with bytes.
func field(number protowire.Number, parts ...[]byte) []byte {
	return protowire.AppendBytes(tag(number, protowire.BytesType), bytes.Join(parts, nil))
}

// number returns a field with an integer.
func number(n protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(tag(n, protowire.VarintType), v)
}

// odd are encodings of a response that no careful sender makes, and every receiver must take.
func odd() map[string][]byte {
	group := bytes.Join([][]byte{
		tag(20, protowire.StartGroupType), number(1, 7), tag(21, protowire.StartGroupType), field(2, []byte("x")),
		tag(21, protowire.EndGroupType), tag(20, protowire.EndGroupType),
	}, nil)
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	return map[string][]byte{
		"unknown-varint":      join(number(99, math.MaxUint64), number(6, 5)),
		"unknown-bytes":       join(field(99, []byte("x")), number(6, 5)),
		"unknown-fixed32":     join(protowire.AppendFixed32(tag(99, protowire.Fixed32Type), 1), number(6, 5)),
		"unknown-fixed64":     join(protowire.AppendFixed64(tag(99, protowire.Fixed64Type), 1), number(6, 5)),
		"unknown-group":       join(group, number(6, 5)),
		"largest-field":       join(number(protowire.MaxValidNumber, 1), number(6, 5)),
		"other-type":          join(field(6, []byte("x")), number(5, 3), number(7, 1)),
		"twice":               join(number(6, 5), number(6, 6), field(7, []byte("a")), field(7, []byte("b"))),
		"oneof-twice":         join(field(2, []byte("text")), field(3, []byte{1})),
		"oneof-back":          join(field(3, []byte{1}), field(2, []byte("text"))),
		"message-twice":       join(field(1, field(1, []byte("a"))), field(1, field(2, []byte("b")))),
		"close-twice":         field(4, field(4, number(1, 3)), field(4, field(2, []byte("why")))),
		"close-after-text":    field(4, field(4, number(1, 3)), field(1, []byte("x")), field(4, field(2, []byte("why")))),
		"long-varint":         {6 << 3, 0x85, 0x80, 0x80, 0x00},
		"long-tag":            {6<<3 | 0x80, 0x80, 0x00, 5},
		"bool-of-many":        field(1, number(8, 1<<40)),
		"uint32-of-too-many":  field(1, number(9, 1<<32+7)),
		"zero-that-is-there":  join(number(6, 0), field(7)),
		"empty-oneof-message": field(4, field(4)),
		"false-half-close":    field(4, number(3, 0)),
	}
}

func TestOddEncodingsAreReadAsTheLibraryReadsThem(t *testing.T) {
	var lines []string
	for name, raw := range odd() {
		m := &holdfastv1.ConnectResponse{}
		if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(raw, m); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		plain, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %x %x", name, raw, plain)))
	}
	slices.Sort(lines)
	golden(t, "odd.txt", lines)
}

// malformed are bytes that are no response.
var malformed = map[string][]byte{
	"tag-cut":             {0x80},
	"field-zero":          {0x00, 0x01},
	"field-too-large":     {0x80, 0x80, 0x80, 0x80, 0x10, 0x01},
	"varint-cut":          {6 << 3, 0x80},
	"varint-missing":      {6 << 3},
	"varint-too-long":     bytes.Join([][]byte{{6 << 3}, bytes.Repeat([]byte{0xff}, 10), {1}}, nil),
	"varint-over-64-bits": bytes.Join([][]byte{{6 << 3}, bytes.Repeat([]byte{0xff}, 9), {2}}, nil),
	"length-cut":          {2<<3 | 2},
	"bytes-cut":           {2<<3 | 2, 5, 'x'},
	"length-huge":         {2<<3 | 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
	"text-no-utf8":        {2<<3 | 2, 1, 0xff},
	"text-surrogate":      {2<<3 | 2, 3, 0xed, 0xa0, 0x80},
	"text-overlong":       {2<<3 | 2, 2, 0xc0, 0x80},
	"item-no-utf8":        {4<<3 | 2, 3, 1<<3 | 2, 1, 0xff},
	"item-cut":            {4<<3 | 2, 2, 1<<3 | 2, 1, 'x'},
	"fixed32-cut":         {99<<3&0x7f | 5 | 0x80, 6, 0, 0, 0},
	"fixed64-cut":         {99<<3&0x7f | 1 | 0x80, 6, 0, 0, 0, 0, 0, 0, 0},
	"wire-type-6":         {6<<3 | 6, 1},
	"wire-type-7":         {6<<3 | 7, 1},
	"group-not-begun":     {20<<3&0x7f | 4 | 0x80, 1},
	"group-not-ended":     {20<<3&0x7f | 3 | 0x80, 1},
	"group-ends-other":    {20<<3&0x7f | 3 | 0x80, 1, 21<<3&0x7f | 4 | 0x80, 1},
}

func TestMalformedFramesAreRefusedAsTheLibraryRefusesThem(t *testing.T) {
	var lines []string
	for name, raw := range malformed {
		if err := proto.Unmarshal(raw, &holdfastv1.ConnectResponse{}); err == nil {
			t.Errorf("%s (%x) was read", name, raw)
		}
		lines = append(lines, fmt.Sprintf("%s %x", name, raw))
	}
	slices.Sort(lines)
	golden(t, "malformed.txt", lines)
}

// The codes with which the relay closes a socket.
func TestReasonsAreThoseOfTheLibrary(t *testing.T) {
	const closeCodes, errorCodes = 4000, 4100
	var lines []string
	for n := range holdfastv1.CloseReason_name {
		if n != 0 {
			lines = append(lines, fmt.Sprintf("%d %s", closeCodes+n, wire.CloseReasonName(holdfastv1.CloseReason(n))))
		}
	}
	for n := range holdfastv1.ErrorReason_name {
		if n != 0 {
			lines = append(lines, fmt.Sprintf("%d %s", errorCodes+n, wire.ReasonName(holdfastv1.ErrorReason(n))))
		}
	}
	slices.Sort(lines)
	golden(t, "reasons.txt", lines)
}
