package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

// serve runs a server until the test ends.
func serve(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// startRaw serves a raw relay in front of a raw echo server, and returns its address.
func startRaw(t *testing.T) string {
	t.Helper()
	echo, relay := listen(t), listen(t)
	serve(t, func(ctx context.Context) error { return serveTCP(ctx, echo, rawEcho) })
	upstream, err := net.Dial("tcp", echo.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	serve(t, func(ctx context.Context) error { return rawRelay(ctx, relay, upstream) })
	return relay.Addr().String()
}

// Each message comes back to its own stream, although the ids of the streams are the same on every connection.
func TestRawMessagesComeBackToTheirStreams(t *testing.T) {
	const connections, streams, messages = 3, 4, 200
	address := startRaw(t)
	var running sync.WaitGroup
	for c := range connections {
		conn, err := dialRaw(address, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.close()
		for s := range streams {
			w, err := conn.open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			running.Go(func() {
				for n := range messages {
					text := fmt.Sprintf("connection %d stream %d message %d %s", c, s, n, strings.Repeat("x", n))
					if err := exchange(w, text); err != nil {
						t.Error(err)
						return
					}
				}
				if err := errors.Join(w.closeSend(), ends(w)); err != nil {
					t.Error(err)
				}
			})
		}
	}
	running.Wait()
}

func exchange(w wire, text string) error {
	if err := w.send([][]byte{[]byte(text)}); err != nil {
		return err
	}
	got, err := w.receive()
	if err != nil {
		return err
	}
	if len(got) != 1 || string(got[0]) != text {
		return fmt.Errorf("got %q, want %q", got, text)
	}
	return nil
}

func ends(w wire) error {
	if got, err := w.receive(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("got %q, %w, want the end", got, err)
	}
	return nil
}

func TestRawFrames(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	out := newRawWriter(&b)
	if err := errors.Join(out.frame(7, []byte("seven"), false), out.frame(1<<40, nil, false)); err != nil || b.Len() != 0 {
		t.Fatalf("%v; %d bytes went out before the flush", err, b.Len())
	}
	if err := out.flush(); err != nil {
		t.Fatal(err)
	}
	in := newRawReader(&b)
	if id, payload, err := in.frame(); id != 7 || string(payload) != "seven" || err != nil {
		t.Errorf("got %d, %q, %v", id, payload, err)
	}
	if id, payload, err := in.frame(); id != 1<<40 || len(payload) != 0 || err != nil {
		t.Errorf("got %d, %q, %v", id, payload, err)
	}
	if _, _, err := in.frame(); !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
	big := newRawReader(strings.NewReader("\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x01"))
	if _, _, err := big.frame(); err == nil || !strings.Contains(err.Error(), "4294967295 bytes is not allowed") {
		t.Errorf("got %v", err)
	}
}

// A stream learns that its connection ended.
func TestRawStreamOfALostConnection(t *testing.T) {
	listener := listen(t)
	serve(t, func(ctx context.Context) error {
		return serveTCP(ctx, listener, func(context.Context, net.Conn) {}) // Closes it at once.
	})
	conn, err := dialRaw(listener.Addr().String(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.close()
	w, err := conn.open(t.Context()) // It fails when the connection is known to have ended.
	if err == nil {
		_, err = w.receive()
	}
	if err == nil || errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
}

func TestRawRelayWithoutUpstream(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := ServeRawRelay(ctx, "127.0.0.1:0", "127.0.0.1:1")
	if err == nil || !strings.Contains(err.Error(), "--upstream 127.0.0.1:1") {
		t.Errorf("got %v", err)
	}
}
