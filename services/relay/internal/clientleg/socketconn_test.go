package clientleg

import (
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/holdfast/holdfast/pkg/ordering"
)

// writes is a connection that keeps what is written to it.
type writes struct {
	net.Conn
	all [][]byte
}

func (w *writes) Write(b []byte) (int, error) {
	w.all = append(w.all, bytes.Clone(b))
	return len(b), nil
}

func TestFramesThatWaitAreOneWrite(t *testing.T) {
	w := &writes{}
	c := newSocketConn(w)
	messages := []ordering.Message{text("one"), binaryItem("\x00\xff"), text(""), binaryItem(strings.Repeat("x", 126))}
	want := "\x81\x03one" + "\x82\x02\x00\xff" + "\x81\x00" + "\x82\x7e\x00\x7e" + strings.Repeat("x", 126)
	if err := c.send(messages); err != nil || len(w.all) != 1 || string(w.all[0]) != want {
		t.Errorf("%v, %d writes: %q", err, len(w.all), w.all)
	}
}

// No write is longer than the buffer but for one message alone, and nothing is lost where it is full.
func TestFramesBeyondTheBuffer(t *testing.T) {
	w := &writes{}
	c := newSocketConn(w)
	var messages []ordering.Message
	var want []byte
	for i, size := range []int{3000, 3000, 3000, 70_000, 5, writeBuffer - frameHead, writeBuffer - frameHead + 1, 7} {
		m := binaryItem(strings.Repeat(string(rune('a'+i)), size))
		messages = append(messages, m)
		want = append(appendFrameHead(want, m), m.Payload...)
	}
	if err := c.send(messages); err != nil || !bytes.Equal(slices.Concat(w.all...), want) {
		t.Fatalf("%v; %d bytes were written, want %d", err, len(slices.Concat(w.all...)), len(want))
	}
	for i, b := range w.all {
		if len(b) > writeBuffer && len(b) != 70_000 {
			t.Errorf("write %d has %d bytes", i, len(b))
		}
		if len(b) == 0 {
			t.Errorf("write %d is empty", i)
		}
	}
	if err := c.send(nil); err != nil || len(slices.Concat(w.all...)) != len(want) {
		t.Errorf("nothing to send: %v", err)
	}
}

func TestNothingFollowsACloseFrame(t *testing.T) {
	w := &writes{}
	c := newSocketConn(w)
	for _, control := range []string{"\x89\x01p", "\x88\x02\x03\xe8"} {
		if err := c.send([]ordering.Message{text("before")}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte(control)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.send([]ordering.Message{text("after")}); !errors.Is(err, net.ErrClosed) || len(w.all) != 4 {
		t.Errorf("%v; %q was written", err, w.all)
	}
}

// A ping is counted when it is written; while another writes, only when one is unanswered already.
func TestPingsAreCounted(t *testing.T) {
	w := &writes{}
	c := newSocketConn(w)
	var unanswered atomic.Int32
	for _, step := range []struct {
		busy          bool
		count, writes int
	}{{true, 0, 0}, {false, 1, 1}, {true, 2, 1}, {false, 3, 2}} {
		if step.busy {
			c.writing <- struct{}{}
		}
		c.ping(&unanswered)
		if step.busy {
			<-c.writing
		}
		if int(unanswered.Load()) != step.count || len(w.all) != step.writes {
			t.Errorf("%+v: %d are counted, %q written", step, unanswered.Load(), w.all)
		}
	}
	if got := string(w.all[0]); got != "\x89\x00" {
		t.Errorf("got %q", got)
	}
}

// What was waited for is read, whatever the size of the reads, and both agree on the end.
func TestWaitThenRead(t *testing.T) {
	for _, size := range []int{1, headBuffer, readBuffer, 4 * readBuffer} {
		synctest.Test(t, func(t *testing.T) {
			here, there := net.Pipe()
			c := newSocketConn(here)
			sent := bytes.Repeat([]byte("0123456789"), 1000)
			go func() {
				for part := range slices.Chunk(sent, 1700) {
					_, _ = there.Write(part)
				}
				_ = there.Close()
			}()
			var got []byte
			b := make([]byte, size)
			for {
				c.wait()
				n, err := c.Read(b)
				got = append(got, b[:n]...)
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil || n == 0 {
					t.Fatalf("reads of %d: %d, %v", size, n, err)
				}
			}
			if !bytes.Equal(got, sent) {
				t.Errorf("reads of %d: got %d bytes, want %d", size, len(got), len(sent))
			}
		})
	}
}

// A close of the socket ends who waits for something to read, and who is behind that one to read.
func TestCloseEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer there.Close()
		c := newSocketConn(here)
		ended := make(chan error, 2)
		go func() {
			c.wait()
			ended <- nil
		}()
		synctest.Wait()
		go func() {
			_, err := c.Read(make([]byte, 1))
			ended <- err
		}()
		synctest.Wait()
		if len(ended) > 0 {
			t.Fatal("something was read where nothing came")
		}
		_ = c.Close()
		if err := <-ended; err != nil {
			t.Errorf("the wait: %v", err)
		}
		if err := <-ended; err == nil {
			t.Error("a closed connection was read")
		}
	})
}
