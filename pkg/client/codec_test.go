package client

import (
	"bytes"
	"strings"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
)

// TestRequestsAreWhatTheGeneratedCodeReads encodes requests by hand and decodes them with the generated code.
func TestRequestsAreWhatTheGeneratedCodeReads(t *testing.T) {
	data := func(seq uint64, m ordering.Message) ordering.Frame {
		return ordering.Frame{Kind: ordering.Data, Seq: seq, Message: m}
	}
	long := bytes.Repeat([]byte("x"), 200)
	for name, c := range map[string]struct {
		hello  *holdfastv1.Hello
		frames []ordering.Frame
		want   *holdfastv1.ConnectRequest
	}{
		"hello": {
			hello: &holdfastv1.Hello{Application: "test", Resumable: true},
			want:  &holdfastv1.ConnectRequest{Hello: &holdfastv1.Hello{Application: "test", Resumable: true}},
		},
		"welcomed": {
			frames: []ordering.Frame{{Kind: ordering.Receipt, Welcomed: true}},
			want:   &holdfastv1.ConnectRequest{Welcomed: true},
		},
		"all at once": {
			frames: []ordering.Frame{
				{Kind: ordering.Receipt, Welcomed: true, Consumed: 1 << 40},
				data(1<<33, ordering.Message{Kind: ordering.Text, Payload: long}),
				data(1<<33+1, ordering.Message{Kind: ordering.Binary, Payload: []byte{0xff}}),
				data(1<<33+2, ordering.Message{Kind: ordering.Binary}),
				data(1<<33+3, ordering.Message{Kind: ordering.HalfClose}),
				data(1<<33+4, wire.CloseMessage(holdfastv1.CloseReason_CLOSE_REASON_CLIENT_GONE, string(long))),
			},
			want: &holdfastv1.ConnectRequest{
				Welcomed: true, ConsumedSeq: 1 << 40, FirstSeq: 1 << 33, Messages: []*holdfastv1.ClientMessage{
					{Content: &holdfastv1.ClientMessage_Text{Text: string(long)}},
					{Content: &holdfastv1.ClientMessage_Binary{Binary: []byte{0xff}}},
					{Content: &holdfastv1.ClientMessage_Binary{Binary: []byte{}}},
					{Content: &holdfastv1.ClientMessage_HalfClose{HalfClose: true}},
					{Content: &holdfastv1.ClientMessage_Close{Close: &holdfastv1.ClientClose{
						Reason: holdfastv1.CloseReason_CLOSE_REASON_CLIENT_GONE, Detail: string(long),
					}}},
				},
			},
		},
	} {
		r := &request{hello: c.hello}
		for _, f := range c.frames {
			r.add(f)
		}
		encoded, err := r.AppendTo(nil)
		got := &holdfastv1.ConnectRequest{}
		if err == nil {
			err = proto.Unmarshal(encoded, got)
		}
		if err != nil || !proto.Equal(got, c.want) {
			t.Errorf("%s: %v, %v\nwant %v", name, got, err, c.want)
		}
		if len(encoded) > r.Size() {
			t.Errorf("%s: it took %d bytes and was to take %d", name, len(encoded), r.Size())
		}
		if r.reset(); !r.empty() {
			t.Errorf("%s: %+v is left", name, r)
		}
	}
}

func TestARequestIsBounded(t *testing.T) {
	frame := func(n int) ordering.Frame {
		return ordering.Frame{Kind: ordering.Data, Seq: 1, Message: ordering.Message{Kind: ordering.Binary, Payload: make([]byte, n)}}
	}
	for size, want := range map[int]int{0: 128, 100: 128, 1000: 25, 10000: 3, 1 << 20: 1} {
		r, n := &request{}, 0
		for ; !r.full(); n++ {
			r.add(frame(size))
		}
		if n != want {
			t.Errorf("%d messages of %d bytes fill a request, want %d", n, size, want)
		}
	}
}

// TestResponsesAreReadAsTheGeneratedCodeWritesThem decodes by hand what the generated code has encoded.
func TestResponsesAreReadAsTheGeneratedCodeWritesThem(t *testing.T) {
	whole := &holdfastv1.ConnectResponse{
		FirstSeq: 1 << 40, ConsumedSeq: 1 << 33, ResumeToken: "token", Reconnect: &holdfastv1.Reconnect{Reason: 2},
		Messages: []*holdfastv1.ClientMessage{
			{Content: &holdfastv1.ClientMessage_Text{Text: "text"}},
			{Content: &holdfastv1.ClientMessage_Binary{Binary: []byte{0xff}}},
			{Content: &holdfastv1.ClientMessage_HalfClose{HalfClose: true}},
			{Content: &holdfastv1.ClientMessage_Close{Close: &holdfastv1.ClientClose{Reason: 3, Detail: "why"}}},
			{},
		},
	}
	r := decoded(t, whole)
	want := []ordering.Message{
		{Kind: ordering.Text, Payload: []byte("text")},
		{Kind: ordering.Binary, Payload: []byte{0xff}},
		{Kind: ordering.HalfClose},
		{Kind: ordering.Close, Reason: 3, Payload: []byte("why")},
		{},
	}
	if r.first != 1<<40 || r.consumed != 1<<33 || r.token != "token" || r.reconnect.GetReason() != 2 || len(r.messages) != len(want) {
		t.Fatalf("decoded %+v", r)
	}
	for i, m := range r.messages {
		if m.Kind != want[i].Kind || m.Reason != want[i].Reason || !bytes.Equal(m.Payload, want[i].Payload) {
			t.Errorf("message %d is %+v, want %+v", i, m, want[i])
		}
	}
	r = decoded(t, &holdfastv1.ConnectResponse{Welcome: &holdfastv1.Welcome{Ingress: "a"}})
	if r.welcome.GetIngress() != "a" || len(r.messages) > 0 || r.token != "" || r.reconnect != nil || r.first > 0 || r.consumed > 0 {
		t.Errorf("decoded %+v", r)
	}
}

func decoded(t *testing.T, m *holdfastv1.ConnectResponse) *response {
	t.Helper()
	encoded, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	r := &response{token: "of the one before", first: 5, messages: make([]ordering.Message, 3)}
	if err := r.Decode(mem.SliceBuffer(encoded)); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAResponseThatIsNoneIsRefused(t *testing.T) {
	for name, b := range map[string]string{
		"cut":              "\x0a\x05a",
		"a text not UTF-8": "\x12\x01\xff",
		"an item's":        "\x22\x03\x0a\x01\xff",
		"a bad welcome":    "\x0a\x01\xff",
		"a bad number":     "\x28" + strings.Repeat("\xff", 11),
	} {
		if err := new(response).Decode(mem.SliceBuffer(b)); err == nil {
			t.Errorf("%s: there is no error", name)
		}
	}
}

// FuzzResponse decodes what may be no response. It accepts all that the generated code does, and reads the same.
func FuzzResponse(f *testing.F) {
	for _, m := range []*holdfastv1.ConnectResponse{
		{Welcome: &holdfastv1.Welcome{ConnectionId: "1"}},
		{FirstSeq: 3, Messages: []*holdfastv1.ClientMessage{{Content: &holdfastv1.ClientMessage_Text{Text: "x"}}}},
	} {
		encoded, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(encoded)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, m := &response{}, &holdfastv1.ConnectResponse{}
		err, reference := r.Decode(mem.SliceBuffer(b)), proto.Unmarshal(b, m)
		if reference == nil && err != nil {
			t.Fatalf("the generated code takes it: %v", err)
		}
		if reference == nil && (r.first != m.GetFirstSeq() || r.consumed != m.GetConsumedSeq() || r.token != m.GetResumeToken()) {
			t.Fatalf("decoded %+v, want %v", r, m)
		}
	})
}
