package clientleg

import (
	"bytes"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func text(s string) ordering.Message {
	return ordering.Message{Kind: ordering.Text, Payload: []byte(s)}
}

func binaryItem(s string) ordering.Message {
	return ordering.Message{Kind: ordering.Binary, Payload: []byte(s)}
}

func item(m ordering.Message) *holdfastv1.ClientMessage {
	if m.Kind == ordering.Text {
		return &holdfastv1.ClientMessage{Content: &holdfastv1.ClientMessage_Text{Text: string(m.Payload)}}
	}
	return &holdfastv1.ClientMessage{Content: &holdfastv1.ClientMessage_Binary{Binary: m.Payload}}
}

// The generated code on the client's side must see what the relay sends.
func TestResponse(t *testing.T) {
	several := []ordering.Message{text("one"), binaryItem("\x00\xff"), text(""), binaryItem("")}
	var batch holdfastv1.ConnectResponse
	for _, m := range several {
		batch.Messages = append(batch.Messages, item(m))
	}
	reconnect := &holdfastv1.Reconnect{
		Reason: holdfastv1.ReconnectReason_RECONNECT_REASON_INGRESS_RELOAD, Delay: durationpb.New(10*time.Minute + 1),
	}
	for _, c := range []struct {
		name string
		sent response
		want *holdfastv1.ConnectResponse
	}{
		{"text", response{messages: several[:1]}, &holdfastv1.ConnectResponse{Content: &holdfastv1.ConnectResponse_Text{Text: "one"}}},
		{"binary", response{messages: several[1:2]}, &holdfastv1.ConnectResponse{Content: &holdfastv1.ConnectResponse_Binary{Binary: []byte("\x00\xff")}}},
		{"empty text", response{messages: several[2:3]}, &holdfastv1.ConnectResponse{Content: &holdfastv1.ConnectResponse_Text{}}},
		{"empty binary", response{messages: several[3:4]}, &holdfastv1.ConnectResponse{Content: &holdfastv1.ConnectResponse_Binary{}}},
		{"a batch", response{messages: several, batch: true}, &batch},
		{"numbered", response{messages: several[:1], firstSeq: 1 << 40, consumed: 7}, &holdfastv1.ConnectResponse{
			Content: &holdfastv1.ConnectResponse_Text{Text: "one"}, FirstSeq: 1 << 40, ConsumedSeq: 7,
		}},
		{"a receipt", response{consumed: 1<<64 - 1}, &holdfastv1.ConnectResponse{ConsumedSeq: 1<<64 - 1}},
		{"a token", response{token: "a.b.c"}, &holdfastv1.ConnectResponse{ResumeToken: "a.b.c"}},
		{"a reconnect", response{reconnect: reconnect}, &holdfastv1.ConnectResponse{Reconnect: reconnect}},
		{"a close", response{
			messages: []ordering.Message{wire.CloseMessage(holdfastv1.CloseReason_CLOSE_REASON_APPLICATION_ERROR, "why")}, firstSeq: 3,
		}, &holdfastv1.ConnectResponse{FirstSeq: 3, Messages: []*holdfastv1.ClientMessage{{
			Content: &holdfastv1.ClientMessage_Close{Close: &holdfastv1.ClientClose{
				Reason: holdfastv1.CloseReason_CLOSE_REASON_APPLICATION_ERROR, Detail: "why",
			}},
		}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			encoded, err := wire.Codec{}.Marshal(&c.sent)
			if err != nil {
				t.Fatal(err)
			}
			defer encoded.Free()
			got := &holdfastv1.ConnectResponse{}
			if err := proto.Unmarshal(encoded.Materialize(), got); err != nil || !proto.Equal(got, c.want) {
				t.Errorf("got %v, %v; want %v", got, err, c.want)
			}
			if encoded.Len() > c.sent.Size() {
				t.Errorf("%d bytes, said to be %d at most", encoded.Len(), c.sent.Size())
			}
		})
	}
}

// same reports whether the request is what the generated code makes of it.
func same(got *request, want *holdfastv1.ConnectRequest) bool {
	single := ordering.Message{}
	switch c := want.GetContent().(type) {
	case *holdfastv1.ConnectRequest_Text:
		single = text(c.Text)
	case *holdfastv1.ConnectRequest_Binary:
		single = binaryItem(string(c.Binary))
	}
	if !equal(got.single, single) || len(got.items) != len(want.GetMessages()) || (got.hello != nil) != (want.GetHello() != nil) {
		return false
	}
	for i, m := range want.GetMessages() {
		wanted := ordering.Message{}
		switch c := m.GetContent().(type) {
		case *holdfastv1.ClientMessage_Text:
			wanted = text(c.Text)
		case *holdfastv1.ClientMessage_Binary:
			wanted = binaryItem(string(c.Binary))
		case *holdfastv1.ClientMessage_HalfClose:
			if c.HalfClose {
				wanted.Kind = ordering.HalfClose
			}
		case *holdfastv1.ClientMessage_Close:
			wanted = ordering.Message{Kind: ordering.Close, Payload: got.items[i].Payload}
		}
		if !equal(got.items[i], wanted) {
			return false
		}
	}
	if got.firstSeq != want.GetFirstSeq() || got.consumed != want.GetConsumedSeq() || got.welcomed != want.GetWelcomed() {
		return false
	}
	return got.hello == nil || proto.Equal(got.hello, want.GetHello())
}

func equal(a, b ordering.Message) bool { return a.Kind == b.Kind && bytes.Equal(a.Payload, b.Payload) }

// Whatever bytes a client sends, decoding does not panic and agrees with the generated code.
func FuzzRequest(f *testing.F) {
	for _, m := range []*holdfastv1.ConnectRequest{
		{},
		{Hello: &holdfastv1.Hello{Application: "x", Batches: true}},
		{Content: &holdfastv1.ConnectRequest_Text{Text: "gewöhnlich"}},
		{Content: &holdfastv1.ConnectRequest_Text{}},
		{Content: &holdfastv1.ConnectRequest_Binary{Binary: []byte("\xff")}},
		{Messages: []*holdfastv1.ClientMessage{item(text("one")), item(binaryItem("two")), {}}},
		{Hello: &holdfastv1.Hello{Resume: &holdfastv1.ResumeRequest{Token: "a.b.c", ReceivedSeq: 1 << 40}}},
		{FirstSeq: 1<<64 - 1, ConsumedSeq: 7, Welcomed: true, Messages: []*holdfastv1.ClientMessage{
			{Content: &holdfastv1.ClientMessage_HalfClose{HalfClose: true}},
			{Content: &holdfastv1.ClientMessage_HalfClose{}},
			{Content: &holdfastv1.ClientMessage_Close{Close: &holdfastv1.ClientClose{Detail: "why"}}},
		}},
	} {
		encoded, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(encoded)
	}
	f.Add([]byte{0x12, 0x01, 0xff})                   // not UTF-8
	f.Add([]byte{0x12, 0x01, 0x41, 0x1a, 0x01, 0x42}) // text, then binary: the last counts
	f.Add([]byte{0x22, 0x03, 0x0a, 0x01, 0xff})       // not UTF-8 in a batch
	f.Fuzz(func(t *testing.T, encoded []byte) {
		want := &holdfastv1.ConnectRequest{}
		wantErr := proto.Unmarshal(encoded, want)
		var r request
		for range 2 { // what was there before must not show through
			err := wire.Codec{}.Unmarshal(mem.BufferSlice{mem.SliceBuffer(encoded)}, &r)
			if (err == nil) != (wantErr == nil) {
				t.Fatalf("decoding failed with %v, that of the generated code with %v", err, wantErr)
			}
			if err == nil && !same(&r, want) {
				t.Fatalf("got %+v, the generated code %v", r, want)
			}
		}
		r.Release()
	})
}
