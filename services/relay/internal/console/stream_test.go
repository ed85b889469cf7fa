package console_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// update is one message of a stream.
type update struct {
	State state
	Since struct {
		Opened, Closed, Parked, Missed, Moved, Resumed int

		ClientsResumed int `json:"clients_resumed"`
		ClientsAway    int `json:"clients_away"`
		LetGo          int `json:"let_go"`

		Flows []struct {
			From, To string
			Count    int
		}
		Pauses  []int
		Longest int64 `json:"longest_us"`
		News    []struct{ Kind, Ingress string }
	}
	Bounds []int `json:"pause_bounds_us"`
}

// reader follows a stream.
type reader struct {
	t     *testing.T
	body  io.ReadCloser
	lines *bufio.Scanner
}

func (s *stage) stream() *reader {
	s.t.Helper()
	response := s.openStream()
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream" {
		s.t.Fatalf("%d %v", response.StatusCode, response.Header)
	}
	r := &reader{s.t, response.Body, bufio.NewScanner(response.Body)}
	r.lines.Buffer(nil, 1<<20)
	return r
}

func (s *stage) openStream() *http.Response {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s.t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:7401/api/stream", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	response, err := s.browser.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

// next returns the next message; errOver when there is none.
func (r *reader) next() (kind string, u update, err error) {
	for r.lines.Scan() {
		line := r.lines.Text()
		if v, ok := strings.CutPrefix(line, "event: "); ok {
			kind = v
		} else if v, ok := strings.CutPrefix(line, "data: "); ok {
			return kind, u, json.Unmarshal([]byte(v), &u)
		}
	}
	return "", u, errOver
}

func (r *reader) update() update {
	r.t.Helper()
	kind, u, err := r.next()
	if err != nil || kind != "update" {
		r.t.Fatalf("got %q, %v; want an update", kind, err)
	}
	return u
}

// However much happens, a few updates a second tell all of it.
func TestUpdatesAreFewAndWhole(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		const clients = 300
		s.server("app-1", "a", "b")
		r := s.stream()
		if u := r.update(); len(u.State.ServerConnections) != 2 || u.Since.Opened != 0 || len(u.Bounds) != len(u.Since.Pauses)-1 {
			t.Errorf("the first update: %+v", u)
		}
		cc := s.dial("c")
		began := time.Now()
		for range clients {
			s.clientOn(cc)
			time.Sleep(10 * time.Millisecond)
		}
		s.post("/api/reload", map[string]string{"ingress": "a"}).into(t, &progress{})
		var updates, opened, moved, paused, flowed int
		var u update
		for len(u.State.Reloads) == 0 || !u.State.Reloads[0].Done || moved < u.State.Reloads[0].Moved {
			u = r.update()
			updates++
			opened += u.Since.Opened
			moved += u.Since.Moved
			for _, n := range u.Since.Pauses {
				paused += n
			}
			for _, f := range u.Since.Flows {
				flowed += f.Count
				if f.From == f.To || f.To != u.State.path(t, "b") {
					t.Errorf("a flow %+v", f)
				}
			}
		}
		if most := int(time.Since(began)/(250*time.Millisecond)) + 1; updates > most || updates < 4 {
			t.Errorf("%d updates in %v, want 4 to %d", updates, time.Since(began), most)
		}
		if opened != clients || moved != clients/2 || paused != moved || flowed != moved || u.Since.Missed != 0 {
			t.Errorf("%d opened, %d moved, %d pauses, %d flowed", opened, moved, paused, flowed)
		}
		if got := u.State.summary(); got != "a 0/0! b 0/300 c 300/0" {
			t.Errorf("in the end: %s", got)
		}
	})
}

// Nothing happens: an update comes now and then all the same, so that a page sees that the relay is there.
func TestQuietStream(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		r := s.stream()
		first := r.update()
		began := time.Now()
		for range 10 {
			r.update()
		}
		if took := time.Since(began); took < 18*time.Second || took > 25*time.Second {
			t.Errorf("ten updates of nothing took %v", took)
		}
		if !first.State.Time.Equal(began) {
			t.Errorf("the first update is of %v, it is %v", first.State.Time, began)
		}
	})
}

func TestStreamTellsTheNews(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		r := s.stream()
		r.update()
		stop := s.server("app-1", "a")
		var kinds []string
		for len(kinds) < 2 {
			for _, n := range r.update().Since.News {
				kinds = append(kinds, n.Kind+" "+n.Ingress)
			}
			if len(kinds) == 1 {
				stop()
			}
		}
		if got := strings.Join(kinds, ", "); !strings.HasPrefix(got, "server_connection_attached a, server_connection_") {
			t.Errorf("the news: %s", got)
		}
	})
}

// A reader that takes nothing is cut after a while, and holds up nobody.
func TestSlowReader(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		s.server("app-1", "a", "b")
		id, _ := s.client("c")
		slow := s.openStream()
		began, moves := time.Now(), 0
		for time.Since(began) < 60*time.Second {
			s.post("/api/move", map[string]string{"connection_id": id}).into(t, &struct{}{})
			moves++
			time.Sleep(20 * time.Millisecond)
		}
		if moves < 2900 {
			t.Errorf("only %d moves in a minute", moves)
		}
		got, err := io.ReadAll(slow.Body)
		if err == nil || len(got) > 64<<10 {
			t.Errorf("the slow reader was kept: %d bytes, then %v", len(got), err)
		}
		r := s.stream()
		r.update()
		s.post("/api/move", map[string]string{"connection_id": id}).into(t, &struct{}{})
		if u := r.update(); u.Since.Moved != 1 {
			t.Errorf("another reader: %+v", u.Since)
		}
	})
}

func TestStreamsAreBounded(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		var streams []*reader
		for range 32 {
			r := s.stream()
			r.update()
			streams = append(streams, r)
		}
		if a := s.get("/api/stream"); a.status != http.StatusServiceUnavailable || a.reason() != "TOO_MANY_STREAMS" {
			t.Errorf("the 33rd: %d %s", a.status, a.body)
		}
		if a := s.do(http.MethodHead, "/api/stream", ""); a.status != http.StatusOK || len(a.body) != 0 {
			t.Errorf("HEAD takes no place: %d", a.status)
		}
		_ = streams[0].body.Close()
		time.Sleep(time.Second)
		s.stream().update()
	})
}

func TestShutdownEndsStreams(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		s.server("app-1", "a", "b")
		id, client := s.client("a")
		stuck := s.openStream() // takes nothing
		for range 40 {
			s.post("/api/move", map[string]string{"connection_id": id}).into(t, &struct{}{})
			time.Sleep(300 * time.Millisecond)
		}
		readers := []*reader{s.stream(), s.stream()}
		s.server("app-2", "c")
		s.post("/api/reload", map[string]string{"ingress": "c", "wait": "10m"}).into(t, &progress{})
		time.Sleep(400 * time.Millisecond)
		began := time.Now()
		s.stop()
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("it took %v", took)
		}
		for _, r := range readers {
			last := ""
			for {
				kind, _, err := r.next()
				if err != nil {
					break
				}
				last = kind
			}
			if last != "bye" {
				t.Errorf("the last message of a stream is %q", last)
			}
		}
		_, _ = io.Copy(io.Discard, stuck.Body)
		if _, err := client.Recv(); status.Code(err) != codes.Unavailable {
			t.Errorf("the client got %v", err)
		}
		synctest.Wait()
	})
}
