package relay

import (
	"context"
	"fmt"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/metadata"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/appserver"
)

func item(content string) *holdfastv1.ClientMessage {
	return &holdfastv1.ClientMessage{Content: &holdfastv1.ClientMessage_Text{Text: content}}
}

func binary(content string) *holdfastv1.ConnectRequest {
	return &holdfastv1.ConnectRequest{Content: &holdfastv1.ConnectRequest_Binary{Binary: []byte(content)}}
}

func TestClientMessagesOutOfPlace(t *testing.T) {
	batch := func(m ...*holdfastv1.ClientMessage) *holdfastv1.ConnectRequest {
		return &holdfastv1.ConnectRequest{Messages: m}
	}
	with := func(r *holdfastv1.ConnectRequest, change func(*holdfastv1.ConnectRequest)) *holdfastv1.ConnectRequest {
		change(r)
		return r
	}
	for _, c := range []struct {
		name     string
		requests []*holdfastv1.ConnectRequest
		want     string
	}{
		{"first request with nothing", []*holdfastv1.ConnectRequest{{}}, "UNEXPECTED_MESSAGE"},
		{"text beside a batch", []*holdfastv1.ConnectRequest{with(text("x"), func(r *holdfastv1.ConnectRequest) {
			r.Messages = []*holdfastv1.ClientMessage{item("y")}
		})}, "UNEXPECTED_MESSAGE"},
		{"hello beside text", []*holdfastv1.ConnectRequest{with(text("x"), func(r *holdfastv1.ConnectRequest) {
			r.Hello = &holdfastv1.Hello{}
		})}, "UNEXPECTED_MESSAGE"},
		{"hello beside a batch", []*holdfastv1.ConnectRequest{with(batch(item("x")), func(r *holdfastv1.ConnectRequest) {
			r.Hello = &holdfastv1.Hello{}
		})}, "UNEXPECTED_MESSAGE"},
		{"hello after a message", []*holdfastv1.ConnectRequest{text("x"), hello("")}, "UNEXPECTED_MESSAGE"},
		{"item with nothing in a batch", []*holdfastv1.ConnectRequest{batch(item("x"), &holdfastv1.ClientMessage{})}, "UNEXPECTED_MESSAGE"},
		{"numbers of a client that is not resumable, which sum up to nothing", []*holdfastv1.ConnectRequest{
			with(text("x"), func(r *holdfastv1.ConnectRequest) { r.FirstSeq, r.ConsumedSeq = 1<<63, 1<<63 }),
		}, "UNEXPECTED_MESSAGE"},
		{"item over the limit in a batch", []*holdfastv1.ConnectRequest{
			batch(item("x"), item(strings.Repeat("x", 1<<20+1))),
		}, "MESSAGE_TOO_LARGE"},
	} {
		t.Run(c.name, func(t *testing.T) {
			onStage(t, nil, func(t *testing.T, s *stage) {
				s.server("app-1", echo, "a")
				if got := asClient(c.requests...)(t, s.harness); got != c.want {
					t.Errorf("answered with %s, want %s", got, c.want)
				}
				if n := s.counter("holdfast.relay.errors", c.want); n != 1 {
					t.Errorf("it is counted %d times", n)
				}
				synctest.Wait()
				if n := s.ingress("a").GetLogicalConnections(); n != 0 {
					t.Errorf("%d connections are left over", n)
				}
			})
		})
	}
}

// Text, bytes, nothing at all, one by one and in batches: all arrive as what they were, in order.
func TestEveryKindOfMessageComesBack(t *testing.T) {
	largest := strings.Repeat("x", 1<<20)
	requests := []*holdfastv1.ConnectRequest{
		text("a"), binary("\x00\xff"), text(""), binary(""), text(largest),
		{Messages: []*holdfastv1.ClientMessage{
			item("b"), {Content: &holdfastv1.ClientMessage_Binary{Binary: []byte("\xfe")}}, item(""), item("ünï"),
		}},
		text("last"),
	}
	want := []string{"text a", "binary \x00\xff", "text ", "binary ", "text " + largest, "text b", "binary \xfe", "text ", "text ünï", "text last"}
	for _, batches := range []bool{false, true} {
		t.Run(fmt.Sprintf("batches=%v", batches), func(t *testing.T) {
			onStage(t, nil, func(t *testing.T, s *stage) {
				s.server("app-1", echo, "a")
				c, closeClient := s.client(s.ctx, "c")
				t.Cleanup(closeClient)
				first := &holdfastv1.ConnectRequest{Hello: &holdfastv1.Hello{Batches: batches}}
				for _, r := range append([]*holdfastv1.ConnectRequest{first}, requests...) {
					if err := c.stream.Send(r); err != nil {
						t.Fatal(err)
					}
				}
				if m, err := c.stream.Recv(); err != nil || m.GetWelcome().GetMaxMessageBytes() != 1<<20 {
					t.Fatalf("no welcome: %v, %v", m, err)
				}
				if got, _ := c.gather(t, len(want)); !slices.Equal(got, want) {
					t.Errorf("got %.30q, want %.30q", got, want)
				}
			})
		})
	}
}

// gather receives n messages and says what each was, and how many came in the fullest response.
func (c *client) gather(t *testing.T, n int) (all []string, fullest int) {
	t.Helper()
	for len(all) < n {
		m, err := c.stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		switch b := m.GetContent().(type) {
		case *holdfastv1.ConnectResponse_Text:
			all = append(all, "text "+b.Text)
		case *holdfastv1.ConnectResponse_Binary:
			all = append(all, "binary "+string(b.Binary))
		}
		for _, i := range m.GetMessages() {
			if b, ok := i.GetContent().(*holdfastv1.ClientMessage_Binary); ok {
				all = append(all, "binary "+string(b.Binary))
			} else {
				all = append(all, "text "+i.GetText())
			}
		}
		fullest = max(fullest, len(m.GetMessages()))
	}
	return all, fullest
}

// Only a client whose hello said so gets several messages in one response; it gets them when more than one waits.
func TestBatchesAreForThoseWhoAsk(t *testing.T) {
	for _, batches := range []bool{false, true} {
		t.Run(fmt.Sprint(batches), func(t *testing.T) {
			onStage(t, nil, func(t *testing.T, s *stage) {
				const messages = 2000
				s.server("app-1", appserver.HandlerFunc(func(ctx context.Context, c *appserver.Connection) error {
					for i := range messages {
						if err := c.Send(ctx, appserver.Message{Payload: []byte(fmt.Sprint(i)), Text: true}); err != nil {
							return err
						}
					}
					_, err := c.Receive(ctx)
					return err
				}), "a")
				c, closeClient := s.client(s.ctx, "c")
				t.Cleanup(closeClient)
				if err := c.stream.Send(&holdfastv1.ConnectRequest{Hello: &holdfastv1.Hello{Batches: batches}}); err != nil {
					t.Fatal(err)
				}
				synctest.Wait() // all that the windows let pass waits
				got, fullest := c.gather(t, messages)
				for i, m := range got {
					if m != fmt.Sprintf("text %d", i) {
						t.Fatalf("message %d is %q", i, m)
					}
				}
				if (fullest > 1) != batches || fullest > 128 {
					t.Errorf("up to %d messages in a response", fullest)
				}
			})
		})
	}
}

// Which application a client gets, by its hello, its header or by there being one only.
func TestApplicationOfAClient(t *testing.T) {
	for _, c := range []struct {
		name          string
		served        []string // what the relay is configured to serve; empty means any
		attached      []string // the applications that have an app server
		hello, header string
		want          string
	}{
		{"nobody is there", nil, nil, "", "", "NO_APP_SERVER"},
		{"nobody is there, named", nil, nil, "echo", "", "NO_APP_SERVER"},
		{"the only one", nil, []string{"echo"}, "", "", "echo"},
		{"by hello", nil, []string{"echo", "other"}, "other", "", "other"},
		{"by header", nil, []string{"echo", "other"}, "", "other", "other"},
		{"of two, none named", nil, []string{"echo", "other"}, "", "", "UNKNOWN_APPLICATION"},
		{"unknown, by header", nil, []string{"echo"}, "", "nope", "UNKNOWN_APPLICATION"},
		{"served but not there", []string{"echo", "other"}, []string{"echo"}, "other", "", "NO_APP_SERVER"},
		{"the only one there, but more are served", []string{"echo", "other"}, []string{"echo"}, "", "", "UNKNOWN_APPLICATION"},
	} {
		t.Run(c.name, func(t *testing.T) {
			onStage(t, withApplications(c.served...), func(t *testing.T, s *stage) {
				for _, name := range c.attached {
					s.peer(t, changed(func(h *holdfastv1.HandshakeRequestMessage) { h.Application, h.InstanceId = name, name }))
				}
				synctest.Wait()
				ctx := s.ctx
				first := hello(c.hello)
				if c.header != "" {
					ctx = metadata.AppendToOutgoingContext(ctx, "x-holdfast-application", c.header)
					first = text("x")
				}
				client, closeClient := s.client(ctx, "c")
				t.Cleanup(closeClient)
				if err := client.stream.Send(first); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				list, err := s.admin.ListClientConnections(s.ctx, &holdfastv1.ListClientConnectionsRequest{})
				if err != nil {
					t.Fatal(err)
				}
				got := ""
				if all := list.GetClientConnections(); len(all) == 1 {
					got = all[0].GetApplication()
				} else {
					_, err := client.stream.Recv()
					got = reasonOrCode(err)
				}
				if got != c.want {
					t.Errorf("got %s, want %s", got, c.want)
				}
			})
		})
	}
}

// The writer of an idle client ends, and another one writes what comes later, also when the connection ends meanwhile.
func TestWriterOfAnIdleClient(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		s.server("app-1", echo, "a", "b")
		g := s.guest("c")
		writers := func() int {
			synctest.Wait()
			var b strings.Builder
			_ = pprof.Lookup("goroutine").WriteTo(&b, 2)
			return strings.Count(b.String(), "clientleg.(*writer).run(")
		}
		if n := writers(); n != 1 {
			t.Errorf("%d writers after a message, want 1", n)
		}
		for range 3 {
			time.Sleep(time.Minute)
			if n := writers(); n != 0 {
				t.Errorf("%d writers after a minute of silence, want none", n)
			}
			if err := g.exchange(5, 0); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		if _, err := s.admin.CloseConnection(s.ctx, &holdfastv1.CloseConnectionRequest{ConnectionId: g.id}); err != nil {
			t.Fatal(err)
		}
		if _, err := g.stream.Recv(); reasonOrCode(err) != "OPERATOR" {
			t.Errorf("the client is told %v", err)
		}
	})
}

// TestBudgetIdleGoroutines: an idle client has the goroutine that gRPC gives its stream and the reader's, and no other.
func TestBudgetIdleGoroutines(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		const n, budget = 50, 2
		s.server("app-1", echo, "a", "b")
		for range n {
			s.guest("c")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		var all strings.Builder
		if err := pprof.Lookup("goroutine").WriteTo(&all, 2); err != nil {
			t.Fatal(err)
		}
		served := 0
		for stack := range strings.SplitSeq(all.String(), "\n\n") {
			if strings.Contains(stack, "clientleg.(*Service)") && !strings.Contains(stack, "clientleg.(*Service).Care(") {
				served++
			}
		}
		if served != budget*n {
			t.Errorf("%d goroutines for %d idle clients; the budget is %d for each", served, n, budget)
		}
	})
}
