package bench

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// startSockets serves an echo server over WebSocket until the test ends, which answers each message with what it is told to, and calls
// begin when a socket has been opened.
func startSockets(t *testing.T, answer func(n int, message []byte) [][]byte, begin func(context.Context, *websocket.Conn)) *subject {
	t.Helper()
	listener := listen(t)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"holdfast.plain"}})
		if err != nil {
			return
		}
		defer conn.CloseNow()
		conn.SetReadLimit(-1)
		if begin != nil {
			begin(r.Context(), conn)
		}
		for n := 0; ; n++ {
			_, message, err := conn.Read(r.Context())
			if err != nil {
				return
			}
			for _, a := range answer(n, message) {
				if conn.Write(r.Context(), websocket.MessageBinary, a) != nil {
					return
				}
			}
		}
	}), ReadHeaderTimeout: time.Minute}
	serve(t, func(ctx context.Context) error {
		defer context.AfterFunc(ctx, func() { _ = server.Close() })()
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	return &subject{name: "fake", address: listener.Addr().String(), dial: dialSocket}
}

func TestSocketsEcho(t *testing.T) {
	target := startSockets(t, honest, nil)
	for load, begin := range loads {
		w, err := measure(t.Context(), order{target: target, streams: 3, streamsConnection: 1, size: 64, inflight: 4, patience: time.Minute},
			20*time.Millisecond, 100*time.Millisecond, begin)
		if err != nil || w.Messages == 0 {
			t.Errorf("%s: %+v, %v", load, w, err)
		}
	}
	for _, size := range []int{1, 3, 125, 126, 65_535, 65_536, 200_001} { // the length is written in three ways
		conn, err := dialSocket(target.address, 1)
		if err != nil {
			t.Fatal(err)
		}
		w, err := conn.open(t.Context())
		if err == nil {
			err = errors.Join(exchange(w, strings.Repeat("x", size)), exchange(w, "after"), w.closeSend(), ends(w))
		}
		if err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
		conn.close()
	}
}

// A ping is answered while nobody receives.
func TestSocketAnswersPings(t *testing.T) {
	pinged := make(chan error, 1)
	target := startSockets(t, honest, func(ctx context.Context, conn *websocket.Conn) {
		go func() { pinged <- conn.Ping(ctx) }()
	})
	f, err := connect(t.Context(), order{target: target, streams: 1, streamsConnection: 1, size: 64, inflight: 1, patience: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-pinged; err != nil {
		t.Error(err)
	}
	f.saturate()
	if err := f.finish(); err != nil {
		t.Error(err)
	}
}

func TestFaultsOfSocketsAreFound(t *testing.T) {
	const at = 20
	for want, answer := range map[error]func(m []byte) [][]byte{
		errLost: func([]byte) [][]byte { return nil }, errDoubled: func(m []byte) [][]byte { return [][]byte{m, m} },
		errCorrupted: func(m []byte) [][]byte {
			m = slices.Clone(m)
			m[len(m)-1] ^= 1
			return [][]byte{m}
		},
	} {
		target := startSockets(t, func(n int, m []byte) [][]byte {
			if n == at {
				return answer(m)
			}
			return [][]byte{m}
		}, nil)
		for load, begin := range loads {
			_, err := measure(t.Context(), order{target: target, streams: 1, streamsConnection: 1, size: 64, inflight: 4, patience: time.Minute},
				0, 200*time.Millisecond, begin)
			if !errors.Is(err, want) {
				t.Errorf("%s: got %v, want %v", load, err, want)
			}
		}
	}
}

// A socket that is closed for a reason tells it, and one where nobody serves WebSocket too.
func TestClosedSockets(t *testing.T) {
	target := startSockets(t, honest, func(_ context.Context, conn *websocket.Conn) { _ = conn.Close(4001, "because") })
	o := order{target: target, streams: 1, streamsConnection: 1, size: 64, inflight: 1}
	if _, err := connect(t.Context(), o); err == nil || !strings.Contains(err.Error(), "because") {
		t.Errorf("got %v", err)
	}
	listener := listen(t)
	server := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Minute}
	serve(t, func(ctx context.Context) error {
		defer context.AfterFunc(ctx, func() { _ = server.Close() })()
		_ = server.Serve(listener)
		return nil
	})
	o.target = &subject{name: "fake", address: listener.Addr().String(), dial: dialSocket}
	if _, err := connect(t.Context(), o); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("got %v", err)
	}
}
