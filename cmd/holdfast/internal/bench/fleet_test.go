package bench

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// liar is an echo server that answers each message with what it is told to; n counts the messages of a stream.
type liar struct {
	holdfastv1.UnimplementedClientConnectionServiceServer
	answer func(n int, message []byte) [][]byte
	// parting is sent when the client has said that nothing more will come.
	parting [][]byte
}

func (l *liar) Connect(stream holdfastv1.ClientConnectionService_ConnectServer) error {
	for n := 0; ; n++ {
		request, err := stream.Recv()
		answers := l.parting
		if err == nil {
			answers = l.answer(n, request.GetBinary())
		} else if !errors.Is(err, io.EOF) {
			return err
		}
		for _, a := range answers {
			if err := stream.Send(&holdfastv1.ConnectResponse{Content: &holdfastv1.ConnectResponse_Binary{Binary: a}}); err != nil {
				return err
			}
		}
		if err != nil {
			return nil
		}
	}
}

func honest(_ int, message []byte) [][]byte { return [][]byte{message} }

// start serves an echo server until the test ends.
func start(t *testing.T, server holdfastv1.ClientConnectionServiceServer) *subject {
	t.Helper()
	listener := listen(t)
	s := grpc.NewServer()
	holdfastv1.RegisterClientConnectionServiceServer(s, server)
	serve(t, func(ctx context.Context) error {
		defer context.AfterFunc(ctx, s.Stop)()
		return s.Serve(listener)
	})
	return &subject{name: "fake", address: listener.Addr().String(), dial: dialPlain}
}

var loads = map[string]func(*fleet){
	Saturation: func(f *fleet) { f.saturate() },
	Half:       func(f *fleet) { f.pace(2000) },
}

func TestHonestEchoes(t *testing.T) {
	for name, begin := range loads {
		target := start(t, &liar{answer: honest})
		w, err := measure(t.Context(), order{target: target, streams: 5, streamsConnection: 2, size: 100, inflight: 4, patience: time.Minute},
			20*time.Millisecond, 100*time.Millisecond, begin)
		if err != nil || w.Messages == 0 || w.PerSecond <= 0 || w.RTTp99 < w.RTTp50 || w.RTTp50 <= 0 || w.CPU[client] < 0 || w.PerBatch != 1 {
			t.Errorf("%s: %+v, %v", name, w, err)
		}
	}
}

// Every fault is found under both loads, and named.
func TestFaultsAreFound(t *testing.T) {
	const at = 20
	var held []byte
	faults := map[string]struct {
		liar liar
		want error
	}{
		"lost": {liar{answer: func(n int, m []byte) [][]byte {
			if n == at {
				return nil
			}
			return [][]byte{m}
		}}, errLost},
		"doubled": {liar{answer: func(n int, m []byte) [][]byte {
			if n == at {
				return [][]byte{m, m}
			}
			return [][]byte{m}
		}}, errDoubled},
		"reordered": {liar{answer: func(n int, m []byte) [][]byte {
			switch n {
			case at:
				held = slices.Clone(m)
				return nil
			case at + 1:
				return [][]byte{m, held}
			}
			return [][]byte{m}
		}}, errLost},
		"corrupted": {liar{answer: func(n int, m []byte) [][]byte {
			if n == at {
				m[len(m)-1] ^= 1
			}
			return [][]byte{m}
		}}, errCorrupted},
		"cut short": {liar{answer: func(n int, m []byte) [][]byte {
			if n == at {
				m = m[:len(m)-1]
			}
			return [][]byte{m}
		}}, errCorrupted},
	}
	for load, begin := range loads {
		for name, f := range faults {
			_, err := measure(t.Context(), order{target: start(t, &f.liar), streams: 1, size: 64, inflight: 4, patience: time.Minute},
				0, 200*time.Millisecond, begin)
			if !errors.Is(err, f.want) {
				t.Errorf("%s, %s: got %v, want %v", load, name, err, f.want)
			}
		}
	}
}

// When everything after a message is lost nothing comes that could show it; the count does.
func TestLastMessagesLost(t *testing.T) {
	for load, begin := range loads {
		target := start(t, &liar{answer: func(n int, m []byte) [][]byte {
			if n >= 20 {
				return nil
			}
			return [][]byte{m}
		}})
		_, err := measure(t.Context(), order{target: target, streams: 1, size: 64, inflight: 4, patience: 100 * time.Millisecond},
			0, 50*time.Millisecond, begin)
		if !errors.Is(err, errMissing) || !strings.Contains(err.Error(), "20 came back") {
			t.Errorf("%s: got %v", load, err)
		}
	}
}

func TestExtraMessageAtTheEnd(t *testing.T) {
	for load, begin := range loads {
		target := start(t, &liar{answer: honest, parting: [][]byte{make([]byte, 64)}})
		_, err := measure(t.Context(), order{target: target, streams: 2, size: 64, inflight: 1, patience: time.Minute},
			0, 50*time.Millisecond, begin)
		if err == nil {
			t.Errorf("%s: no error", load)
		}
	}
}

// A stream that the other side ends early is an error, also when it ends in good order.
func TestEndedEarly(t *testing.T) {
	for load, begin := range loads {
		_, err := measure(t.Context(), order{target: start(t, &quitter{}), streams: 1, size: 64, inflight: 4, patience: time.Minute},
			0, 200*time.Millisecond, begin)
		if err == nil {
			t.Errorf("%s: no error", load)
		}
	}
}

// quitter echoes a few messages and ends the stream.
type quitter struct {
	holdfastv1.UnimplementedClientConnectionServiceServer
}

func (*quitter) Connect(stream holdfastv1.ClientConnectionService_ConnectServer) error {
	for range 10 {
		request, err := stream.Recv()
		if err != nil {
			return err
		}
		if err := stream.Send(&holdfastv1.ConnectResponse{
			Content: &holdfastv1.ConnectResponse_Binary{Binary: request.GetBinary()},
		}); err != nil {
			return err
		}
	}
	return nil
}

func TestNobodyThere(t *testing.T) {
	_, err := connect(t.Context(), order{
		target: &subject{name: "nobody", address: "127.0.0.1:1", dial: dialPlain}, streams: 150, size: 64, inflight: 1,
	})
	if err == nil || !strings.Contains(err.Error(), "nobody: connect 150 streams") {
		t.Errorf("got %v", err)
	}
}

// batcher is an echo server as the relay is to a client that takes batches.
type batcher struct {
	holdfastv1.UnimplementedClientConnectionServiceServer
}

func (batcher) Connect(stream holdfastv1.ClientConnectionService_ConnectServer) error {
	for {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		response := &holdfastv1.ConnectResponse{Messages: request.GetMessages()}
		if request.GetHello().GetBatches() {
			response.Welcome = &holdfastv1.Welcome{}
		}
		if request.GetContent() != nil {
			response.Content = &holdfastv1.ConnectResponse_Binary{Binary: request.GetBinary()}
		}
		if err := stream.Send(response); err != nil {
			return err
		}
	}
}

func TestBatches(t *testing.T) {
	target := start(t, batcher{})
	target.dial = dialBatch
	for load, begin := range loads {
		w, err := measure(t.Context(), order{target: target, streams: 3, size: 64, inflight: 8, patience: time.Minute},
			20*time.Millisecond, 100*time.Millisecond, begin)
		if err != nil || w.Messages == 0 || (load == Saturation && w.PerBatch != 8) {
			t.Errorf("%s: %+v, %v", load, w, err)
		}
	}
	target.dial = dialPlain // What is no welcome is told.
	liar := start(t, &liar{answer: honest})
	liar.dial = dialBatch
	if _, err := connect(t.Context(), order{target: liar, streams: 1, size: 64, inflight: 1}); !errors.Is(err, errNoWelcome) {
		t.Errorf("got %v", err)
	}
}
