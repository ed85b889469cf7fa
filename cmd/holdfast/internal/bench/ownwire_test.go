package bench

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// numberer is an echo server as the relay is to resumable clients, with the standard codec. It refuses what breaks a rule.
type numberer struct {
	holdfastv1.UnimplementedClientConnectionServiceServer
	// number changes the number of the first echo of a response, n of which came before.
	number func(n int, first uint64) uint64
}

func (s *numberer) Connect(stream holdfastv1.ClientConnectionService_ConnectServer) error {
	request, err := stream.Recv()
	if err != nil {
		return err
	}
	if !request.GetHello().GetResumable() {
		return status.Error(codes.InvalidArgument, "no resumable hello")
	}
	if err := stream.Send(&holdfastv1.ConnectResponse{Welcome: &holdfastv1.Welcome{ResumeToken: "t"}}); err != nil {
		return err
	}
	received := uint64(0)
	for n := 0; ; n++ {
		if request, err = stream.Recv(); err != nil {
			return err
		}
		items := contents(request)
		switch {
		case request.GetWelcomed() != (n == 0):
			return status.Errorf(codes.InvalidArgument, "request %d: welcomed is %v", n, request.GetWelcomed())
		case request.GetFirstSeq() != received+1:
			return status.Errorf(codes.InvalidArgument, "message %d after %d", request.GetFirstSeq(), received)
		case n > 0 && request.GetConsumedSeq() == 0 || request.GetConsumedSeq() > received:
			return status.Errorf(codes.InvalidArgument, "receipt through %d of %d", request.GetConsumedSeq(), received)
		case items[len(items)-1].GetClose() != nil:
			return nil
		}
		first := received + 1
		received += uint64(len(items))
		if err := stream.Send(&holdfastv1.ConnectResponse{ConsumedSeq: received}); err != nil {
			return err
		}
		if err := stream.Send(&holdfastv1.ConnectResponse{Messages: items, FirstSeq: s.number(n, first)}); err != nil {
			return err
		}
	}
}

// contents returns the messages of a request.
func contents(r *holdfastv1.ConnectRequest) []*holdfastv1.ClientMessage {
	if r.GetContent() != nil {
		return []*holdfastv1.ClientMessage{{Content: &holdfastv1.ClientMessage_Binary{Binary: r.GetBinary()}}}
	}
	return r.GetMessages()
}

func TestResumableDialect(t *testing.T) {
	for load, begin := range loads {
		target := start(t, &numberer{number: func(_ int, first uint64) uint64 { return first }})
		target.dial = dialResumable
		var f *fleet
		w, err := measure(t.Context(), order{target: target, streams: 5, streamsConnection: 2, size: 64, inflight: 8, patience: time.Minute},
			20*time.Millisecond, 100*time.Millisecond, func(begun *fleet) { f = begun; begin(f) })
		if err != nil || w.Messages == 0 || (load == Saturation && w.PerBatch != 8) {
			t.Errorf("%s: %+v, %v", load, w, err)
			continue
		}
		batches := uint64(0)
		for _, l := range f.lanes {
			batches += l.batches.Load()
		}
		if alone := f.receiptsAlone(); alone != batches {
			t.Errorf("%s: %d receipts alone, %d were sent", load, alone, batches)
		}
	}
}

func TestWrongNumbersAreFound(t *testing.T) {
	for want, change := range map[error]int{errLost: 1, errDoubled: -1} {
		target := start(t, &numberer{number: func(n int, first uint64) uint64 {
			if n == 20 {
				return first + uint64(change)
			}
			return first
		}})
		target.dial = dialResumable
		for load, begin := range loads {
			_, err := measure(t.Context(), order{target: target, streams: 1, size: 64, inflight: 4, patience: time.Minute},
				0, 200*time.Millisecond, begin)
			if !errors.Is(err, want) {
				t.Errorf("%s: got %v, want %v", load, err, want)
			}
		}
	}
}

func TestNoWelcome(t *testing.T) {
	for _, dial := range []dialer{dialResumable, dialOwnBatch} {
		target := start(t, &liar{answer: honest})
		target.dial = dial
		if _, err := connect(t.Context(), order{target: target, streams: 1, size: 64, inflight: 1}); !errors.Is(err, errNoWelcome) {
			t.Errorf("got %v", err)
		}
	}
}

func TestOwnBatches(t *testing.T) {
	target := start(t, batcher{})
	target.dial = dialOwnBatch
	for load, begin := range loads {
		w, err := measure(t.Context(), order{target: target, streams: 3, size: 64, inflight: 8, patience: time.Minute},
			20*time.Millisecond, 100*time.Millisecond, begin)
		if err != nil || w.Messages == 0 || (load == Saturation && w.PerBatch != 8) {
			t.Errorf("%s: %+v, %v", load, w, err)
		}
	}
}

// What the bench encodes is what the generated code reads.
func TestOwnRequests(t *testing.T) {
	t.Parallel()
	binary := func(s string) *holdfastv1.ClientMessage {
		return &holdfastv1.ClientMessage{Content: &holdfastv1.ClientMessage_Binary{Binary: []byte(s)}}
	}
	closing := &holdfastv1.ClientMessage{Content: &holdfastv1.ClientMessage_Close{Close: &holdfastv1.ClientClose{}}}
	hello := &holdfastv1.Hello{Resumable: true, Resume: &holdfastv1.ResumeRequest{Token: strings.Repeat("t", 300), ReceivedSeq: 7}}
	long := strings.Repeat("x", 300)
	for name, c := range map[string]struct {
		request ownRequest
		want    *holdfastv1.ConnectRequest
	}{
		"hello": {ownRequest{hello: hello}, &holdfastv1.ConnectRequest{Hello: hello}},
		"one": {
			ownRequest{messages: [][]byte{[]byte(long)}, first: 1 << 60, consumed: 3, welcomed: true},
			&holdfastv1.ConnectRequest{
				Content: &holdfastv1.ConnectRequest_Binary{Binary: []byte(long)}, FirstSeq: 1 << 60, ConsumedSeq: 3, Welcomed: true,
			},
		},
		"several": {
			ownRequest{messages: [][]byte{[]byte("a"), []byte(long)}},
			&holdfastv1.ConnectRequest{Messages: []*holdfastv1.ClientMessage{binary("a"), binary(long)}},
		},
		"close": {ownRequest{closing: true, first: 9}, &holdfastv1.ConnectRequest{Messages: []*holdfastv1.ClientMessage{closing}, FirstSeq: 9}},
	} {
		encoded, err := c.request.AppendTo(nil)
		if err != nil {
			t.Fatal(err)
		}
		got := &holdfastv1.ConnectRequest{}
		if err := proto.Unmarshal(encoded, got); err != nil || !proto.Equal(got, c.want) {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
		if len(encoded) > c.request.Size() {
			t.Errorf("%s: %d bytes, but the size is %d", name, len(encoded), c.request.Size())
		}
	}
}

func TestOwnResponses(t *testing.T) {
	t.Parallel()
	decode := func(r *ownResponse, m *holdfastv1.ConnectResponse) error {
		encoded, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return r.Decode(mem.SliceBuffer(encoded))
	}
	r := &ownResponse{}
	err := decode(r, &holdfastv1.ConnectResponse{
		Welcome: &holdfastv1.Welcome{Recovered: true}, FirstSeq: 5, ConsumedSeq: 6,
		Messages: []*holdfastv1.ClientMessage{
			{Content: &holdfastv1.ClientMessage_Binary{Binary: []byte("a")}}, {Content: &holdfastv1.ClientMessage_Binary{Binary: []byte("b")}},
		},
	})
	if err != nil || !r.welcome.GetRecovered() || r.first != 5 || r.consumed != 6 || len(r.messages) != 2 || string(r.messages[1]) != "b" {
		t.Errorf("got %+v, %v", r, err)
	}
	err = decode(r, &holdfastv1.ConnectResponse{Content: &holdfastv1.ConnectResponse_Binary{Binary: []byte("c")}})
	if err != nil || r.welcome != nil || r.first != 0 || r.consumed != 0 || len(r.messages) != 1 || string(r.messages[0]) != "c" {
		t.Errorf("got %+v, %v", r, err)
	}
	for name, m := range map[string]*holdfastv1.ConnectResponse{
		"text": {Content: &holdfastv1.ConnectResponse_Text{Text: "t"}},
		"text in a batch": {Messages: []*holdfastv1.ClientMessage{
			{Content: &holdfastv1.ClientMessage_Text{Text: "t"}},
		}},
	} {
		if err := decode(r, m); !errors.Is(err, errCorrupted) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := r.Decode(mem.SliceBuffer("\xff")); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
}
