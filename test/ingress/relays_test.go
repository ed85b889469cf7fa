package ingress_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// through lists the ingresses of what the relay lists as "servers" or "clients", by the key of the JSON.
func (s *system) through(what, list, key string) []string {
	s.t.Helper()
	out, errs, code := output(s.t, "holdfast", "--admin", s.admin, "--output", "json", "list", what)
	var lists map[string]json.RawMessage
	var all []map[string]any
	err := json.Unmarshal([]byte(out), &lists)
	if err == nil {
		err = json.Unmarshal(lists[list], &all)
	}
	if err != nil || code != 0 {
		s.t.Fatalf("list %s: %d, %v\n%s%s", what, code, err, out, errs)
	}
	var names []string
	for _, item := range all {
		name, _ := item[key].(string)
		names = append(names, name)
	}
	return names
}

// The reference configuration of nginx leads clients to both relays, over gRPC and WebSocket, and app servers to each by its port.
func TestReferenceNginxWithTwoRelays(t *testing.T) {
	find(t, "nginx")
	one, two := newSystem(t, "--relay-id", "relay-1"), newSystem(t, "--relay-id", "relay-2")
	in := one.referenceNginx(two)
	start(t, nil, program(t, "appserver"), "--server-id", "sample", "--relays", strings.Join(in.forwards, ","),
		"--listen", free(t, 1)[0], "--shutdown-grace", "1s")
	one.waitAttached("sample", 1)
	two.waitAttached("sample", 1)
	for _, s := range []*system{one, two} {
		if names := s.through("servers", "server_connections", "ingress"); !slices.Equal(names, []string{"a"}) {
			t.Errorf("server connections through %q, want one through a", names)
		}
	}

	stop := one.startTraffic(in.address)
	spread(t, "clients", one, two, trafficClients)
	if x := stop(); x.Lost+x.Doubled+x.Reordered+x.Corrupted+x.Unfinished != 0 || x.Received == 0 {
		t.Errorf("%+v", x)
	}

	for range 6 {
		echoOverSocket(t, in.sockets)
	}
	spread(t, "sockets", one, two, 6)
}

// spread waits until so many clients are connected through the ingress, and checks that both relays have some.
func spread(t *testing.T, what string, one, two *system, want int) {
	t.Helper()
	var first, second []string
	eventually(t, "all "+what+" are connected", func() bool {
		first = one.through("clients", "client_connections", "client_ingress")
		second = two.through("clients", "client_connections", "client_ingress")
		return len(first)+len(second) == want
	})
	if len(first) == 0 || len(second) == 0 {
		t.Errorf("%s: %d at one relay, %d at the other; want some at each", what, len(first), len(second))
	}
	if names := slices.Compact(append(first, second...)); !slices.Equal(names, []string{"a"}) {
		t.Errorf("%s through %q, want a", what, names)
	}
}

// echoOverSocket connects over WebSocket and has a message echoed. It stays connected to the end of the test.
func echoOverSocket(t *testing.T, address string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, _, err := websocket.Dial(ctx, "ws://"+address+"/?application=echo", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	if err := c.Write(ctx, websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if kind, m, err := c.Read(ctx); err != nil || kind != websocket.MessageText || string(m) != "hello" {
		t.Errorf("echoed: %q, %v", m, err)
	}
}
