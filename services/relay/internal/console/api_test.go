package console_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/services/relay/internal/config"
)

func TestStateCounts(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		empty := s.get("/api/state")
		if text := string(empty.body); strings.Contains(text, "null") || empty.header.Get("Content-Type") != "application/json" {
			t.Errorf("the state of an empty relay: %s, %v", text, empty.header)
		}
		if v := s.state(); v.RelayID != "relay-1" || v.ReadOnly || len(v.ServerConnections) != 0 || !v.Time.Equal(time.Now()) {
			t.Errorf("an empty relay: %+v", v)
		}
		s.server("app-1", "a", "b")
		for range 3 {
			s.client("a")
		}
		_, last := s.client("b")
		if got := s.state().summary(); got != "a 3/2 b 1/2" {
			t.Errorf("with four clients: %s", got)
		}
		if err := last.CloseSend(); err != nil {
			t.Fatal(err)
		}
		for err := error(nil); err == nil; {
			_, err = last.Recv()
		}
		synctest.Wait()
		v := s.state()
		if got := v.summary(); got != "a 3/2 b 0/1" && got != "a 3/1 b 0/2" {
			t.Errorf("after one has gone: %s", got)
		}
		if c := v.ServerConnections[0]; c.ServerID != "app-1" || c.Application != "echo" || c.Address == "" {
			t.Errorf("a server connection: %+v", c)
		}
	})
}

func TestLookUpOneConnection(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		s.server("app-1", "a", "b")
		id, _ := s.client("b")
		c := s.find(id)
		for field, want := range map[string]any{
			"id": id, "application": "echo", "state": "stable", "epoch": "1.1", "client_ingress": "b", "client_address": "127.0.0.1:1",
			"server_id": "app-1", "messages_received": 1.0, "messages_sent": 1.0, "connected_at": "2000-01-01T00:00:00Z",
		} {
			if c[field] != want {
				t.Errorf("%s is %v, want %v", field, c[field], want)
			}
		}
		if on := c["server_connection_id"]; on != s.state().path(t, fmt.Sprint(c["server_ingress"])) {
			t.Errorf("it is on %v through %v", on, c["server_ingress"])
		}
		for path, want := range map[string]string{
			"?id=xyz": "400 INVALID_FIELD", "?id=0000000000000000": "400 INVALID_FIELD", "?id=%20": "400 INVALID_FIELD",
			"?id=" + id + "0": "400 INVALID_FIELD", "?id=": "400 INVALID_FIELD", "": "400 INVALID_FIELD",
			"?id=0123456789abcdef": "200 ", "/" + id: "404 UNKNOWN_ENDPOINT",
		} {
			a := s.get("/api/connections" + path)
			if got := fmt.Sprint(a.status, " ", a.reason()); got != want {
				t.Errorf("%s: %s, want %s", path, got, want)
			}
		}
	})
}

func TestReloadFromTheConsole(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		s.server("app-1", "a", "b")
		for range 4 {
			s.client("b")
		}
		s.client("a")
		var p progress
		s.post("/api/reload", map[string]string{"ingress": "a", "deadline": "1m"}).into(t, &p)
		if p.Ingress != "a" {
			t.Errorf("the first progress: %+v", p)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		v := s.state()
		if len(v.Reloads) != 1 {
			t.Fatalf("the reloads: %+v", v.Reloads)
		}
		p = v.Reloads[0]
		// One of the five may be a's own client on a: it is left there.
		left := 0
		for _, l := range p.Left {
			if l.Reason != "client_through_ingress" {
				t.Errorf("left on it: %+v", l)
			}
			left += l.Connections
		}
		if !p.Done || !p.Safe || p.Moved != p.Planned || p.Moved+left != 2 && p.Moved+left != 3 {
			t.Errorf("the last progress: %+v", p)
		}
		if in := v.Ingresses[0]; !in.Draining || !in.ReturnsAt.Equal(v.Time.Add(time.Minute-time.Second)) || in.Logical != left {
			t.Errorf("the ingress: %+v at %v", in, v.Time)
		}
		s.post("/api/reload/complete", map[string]string{"ingress": "a"}).into(t, &struct{}{})
		if v := s.state(); v.Ingresses[0].Draining || len(v.Reloads) != 0 {
			t.Errorf("after it was completed: %+v", v)
		}
		s.post("/api/reload", map[string]string{"ingress": "b", "wait": "10ms"}).into(t, &p)
		s.post("/api/reload/cancel", map[string]string{"ingress": "b"}).into(t, &struct{}{})
		if v := s.state(); v.Ingresses[1].Draining {
			t.Errorf("after it was cancelled: %+v", v)
		}
	})
}

// A reload that is not safe when the wait is over is measured on: the page shows when it becomes safe.
func TestReloadThatBecomesSafeLater(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		s.server("app-1", "a")
		first, _ := s.client("b")
		s.post("/api/reload", map[string]string{"ingress": "a", "wait": "1s"}).into(t, &progress{})
		time.Sleep(3 * time.Second)
		p := s.state().Reloads[0]
		if !p.Done || p.Safe || len(p.Left) != 1 || p.Left[0].Reason != "no_other_server_connection" {
			t.Errorf("with one server connection: %+v", p)
		}
		second, _ := s.client("b") // lands there too, as there is no other
		time.Sleep(2 * time.Second)
		if p := s.state().Reloads[0]; p.Safe || p.Left[0].Connections != 2 {
			t.Errorf("with one more client: %+v", p)
		}
		for _, id := range []string{first, second} {
			s.post("/api/close", map[string]string{"connection_id": id}).into(t, &struct{}{})
		}
		time.Sleep(2 * time.Second)
		if p := s.state().Reloads[0]; !p.Safe || !p.Done || len(p.Left) != 0 || p.Closed != 2 {
			t.Errorf("with no client any more: %+v", p)
		}
	})
}

// A reload that somebody else began is shown too, also when its caller has gone before the end.
func TestReloadOfAnother(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		s.server("app-1", "a")
		id, _ := s.client("b")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		progresses, err := s.admin().ReloadIngress(ctx, &holdfastv1.ReloadIngressRequest{Ingress: "a", Wait: durationpb.New(time.Minute)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := progresses.Recv(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if p := s.state().Reloads[0]; p.Done || p.Elapsed < 900 || len(p.Left) != 1 || p.Left[0].Connections != 1 {
			t.Errorf("while its caller follows: %+v", p)
		}
		cancel()
		s.post("/api/close", map[string]string{"connection_id": id}).into(t, &struct{}{})
		time.Sleep(2 * time.Second)
		if p := s.state().Reloads[0]; !p.Done || !p.Safe || len(p.Left) != 0 {
			t.Errorf("when its caller has gone: %+v", p)
		}
	})
}

func TestMoveAndClose(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		s.server("app-1", "a", "b")
		s.server("app-2", "c")
		ids, streams := []string{}, []interface{ CloseSend() error }{}
		for range 3 {
			id, stream := s.client("d")
			ids, streams = append(ids, id), append(streams, stream)
		}
		for _, id := range ids {
			c := s.find(id)
			if c["server_id"] == "app-2" {
				a := s.post("/api/move", map[string]string{"connection_id": id})
				if a.status != http.StatusConflict || a.reason() != "NOT_MOVABLE" {
					t.Errorf("moved with nowhere to go: %d %s", a.status, a.body)
				}
				continue
			}
			before := c["server_connection_id"].(string)
			var moved struct {
				Server string `json:"server_connection_id"`
				Pause  *int64 `json:"pause_us"`
			}
			s.post("/api/move", map[string]string{"connection_id": id}).into(t, &moved)
			c = s.find(id)
			if moved.Server == before || c["server_connection_id"] != moved.Server || moved.Pause == nil {
				t.Errorf("moved from %s to %s, is on %s", before, moved.Server, c["server_connection_id"])
			}
			s.post("/api/move", map[string]string{"connection_id": id, "target": before}).into(t, &moved)
			if moved.Server != before {
				t.Errorf("moved to %s, want %s", moved.Server, before)
			}
		}
		s.post("/api/close", map[string]string{"connection_id": ids[0]}).into(t, &struct{}{})
		_ = streams[0].CloseSend()
		synctest.Wait()
		if c := s.find(ids[0]); c != nil {
			t.Errorf("after the close: %v", c)
		}
	})
}

func TestCloseTellsTheClient(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		s.server("app-1", "a")
		id, stream := s.client("a")
		s.post("/api/close", map[string]string{"connection_id": id}).into(t, &struct{}{})
		if _, err := stream.Recv(); status.Code(err) != codes.Aborted {
			t.Errorf("the client got %v", err)
		}
	})
}

// refusals are requests that are refused, with what they are refused with.
var refusals = []struct {
	method, path, body, contentType string
	want                            string
}{
	{"POST", "/api/reload", `{"ingress":"x"}`, "application/json", "404 UNKNOWN_INGRESS"},
	{"POST", "/api/reload", `{}`, "application/json", "404 UNKNOWN_INGRESS"},
	{"POST", "/api/reload", `{"ingress":"a","wait":"0s"}`, "application/json", "400 INVALID_FIELD"},
	{"POST", "/api/reload", `{"ingress":"a","wait":"-1s"}`, "application/json", "400 INVALID_FIELD"},
	{"POST", "/api/reload", `{"ingress":"a","wait":"soon"}`, "application/json", "400 INVALID_FIELD"},
	{"POST", "/api/reload", `{"ingress":"a","deadline":"25h"}`, "application/json", "400 INVALID_FIELD"},
	{"POST", "/api/reload/complete", `{"ingress":"a"}`, "application/json", "409 NO_RELOAD"},
	{"POST", "/api/reload/complete", `{"ingress":"x"}`, "application/json", "404 UNKNOWN_INGRESS"},
	{"POST", "/api/reload/cancel", `{"ingress":"a"}`, "application/json; charset=utf-8", "409 NO_RELOAD"},
	{"POST", "/api/reload/cancel", `{"ingress":"x"}`, "application/json", "404 UNKNOWN_INGRESS"},
	{"POST", "/api/move", `{"connection_id":"0123456789abcdef"}`, "application/json", "404 UNKNOWN_CONNECTION"},
	{"POST", "/api/move", `{"connection_id":"x"}`, "application/json", "400 INVALID_FIELD"},
	{"POST", "/api/close", `{"connection_id":"0123456789abcdef"}`, "application/json", "404 UNKNOWN_CONNECTION"},
	{"POST", "/api/close", `{"connection_id":"x"}`, "application/json", "400 INVALID_FIELD"},

	{"POST", "/api/reload", `{"ingress":"a"}`, "", "415 NOT_JSON"},
	{"POST", "/api/reload", `ingress=a`, "application/x-www-form-urlencoded", "415 NOT_JSON"},
	{"POST", "/api/reload", `{"ingress":"a"}`, "text/plain", "415 NOT_JSON"},
	{"POST", "/api/reload", ``, "application/json", "400 BAD_BODY"},
	{"POST", "/api/reload", `{"ingress":`, "application/json", "400 BAD_BODY"},
	{"POST", "/api/reload", `{"ingress":1}`, "application/json", "400 BAD_BODY"},
	{"POST", "/api/reload", `["a"]`, "application/json", "400 BAD_BODY"},
	{"POST", "/api/reload", `{"ingress":"a","force":true}`, "application/json", "400 BAD_BODY"},
	{"POST", "/api/reload", `{"ingress":"a"}{"ingress":"b"}`, "application/json", "400 BAD_BODY"},
	{"POST", "/api/reload", `{"ingress":"a"} x`, "application/json", "400 BAD_BODY"},
	{"POST", "/api/reload", `{"ingress":"` + strings.Repeat("a", 4<<10) + `"}`, "application/json", "413 BODY_TOO_LARGE"},
	{"POST", "/api/reload", `{"ingress":"a"}` + strings.Repeat(" ", 4<<10), "application/json", "413 BODY_TOO_LARGE"},

	{"GET", "/api/reload", ``, "", "404 UNKNOWN_ENDPOINT"},
	{"POST", "/api/state", `{}`, "application/json", "404 UNKNOWN_ENDPOINT"},
	{"DELETE", "/api/connections/0123456789abcdef", ``, "", "404 UNKNOWN_ENDPOINT"},
	{"GET", "/api/", ``, "", "404 UNKNOWN_ENDPOINT"},
	{"GET", "/api/else", ``, "", "404 UNKNOWN_ENDPOINT"},
}

func TestRefusals(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		s.server("app-1", "a")
		for _, c := range refusals {
			a := s.do(c.method, c.path, c.body, "Content-Type", c.contentType)
			if got := fmt.Sprint(a.status, " ", a.reason()); got != c.want {
				t.Errorf("%s %s %.40s: %s, want %s (%s)", c.method, c.path, c.body, got, c.want, a.body)
			}
		}
		if v := s.state(); len(v.Reloads) != 0 || v.Ingresses[0].Draining {
			t.Errorf("something was done: %+v", v)
		}
		s.post("/api/reload", map[string]string{"ingress": "a"}).into(t, &progress{})
		if a := s.post("/api/reload", map[string]string{"ingress": "a"}); a.status != http.StatusConflict || a.reason() != "RELOAD_IN_PROGRESS" {
			t.Errorf("a second reload: %d %s", a.status, a.body)
		}
	})
}

func TestReadOnly(t *testing.T) {
	onStage(t, func(c *config.Config) { c.ReadOnlyConsole = true }, func(t *testing.T, s *stage) {
		s.server("app-1", "a", "b")
		id, _ := s.client("b")
		before := s.state()
		if !before.ReadOnly {
			t.Error("the page is not told")
		}
		for path, body := range map[string]map[string]string{
			"/api/reload": {"ingress": "a"}, "/api/reload/complete": {"ingress": "a"}, "/api/reload/cancel": {"ingress": "a"},
			"/api/move": {"connection_id": id}, "/api/close": {"connection_id": id},
		} {
			if a := s.post(path, body); a.status != http.StatusForbidden || a.reason() != "READ_ONLY" {
				t.Errorf("%s: %d %s", path, a.status, a.body)
			}
		}
		synctest.Wait()
		if after := s.state(); after.summary() != before.summary() {
			t.Errorf("%s became %s", before.summary(), after.summary())
		}
		if s.find(id) == nil {
			t.Error("it cannot be looked up")
		}
	})
}
