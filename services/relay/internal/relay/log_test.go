package relay

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/appserver"
	"github.com/holdfast/holdfast/services/relay/internal/config"
)

// What happens is logged once by each side, and always under the same keys: who has a connection has its epoch, and who has a
// server connection has the ingress that it came in through.
func TestLogKeys(t *testing.T) {
	var relayLog, serverLog lockedBuffer
	synctest.Test(t, func(t *testing.T) {
		application, operators := inMemory()
		s := &stage{t: t, harness: startHarness(t, application, operators, func(c *config.Config) { c.LogLevel = slog.LevelDebug }, &relayLog)}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		t.Cleanup(s.stop)
		t.Cleanup(cancel)
		s.ctx = ctx
		admin, cc := s.harness.admin()
		t.Cleanup(func() { _ = cc.Close() })
		s.admin = admin
		s.changeServer = func(c *appserver.Config) {
			c.Logger = slog.New(slog.NewTextHandler(io.Writer(&serverLog), &slog.HandlerOptions{Level: slog.LevelDebug}))
		}
		wires := s.wiredServer("app-1", echo, "a", "b")
		g := s.on("a", "c")
		s.reload("a", time.Second)
		s.complete("a")
		wires.cut("b")
		if err := g.exchange(1, 0); err != nil {
			t.Fatal(err)
		}
		g.stop()
		bad, closeBad := s.client(ctx, "c")
		if err := bad.stream.Send(&holdfastv1.ConnectRequest{}); err != nil {
			t.Fatal(err)
		}
		if _, err := bad.stream.Recv(); err == nil {
			t.Error("a bad request was taken")
		}
		closeBad()
		time.Sleep(time.Second)
	})
	for who, log := range map[string]*lockedBuffer{"relay": &relayLog, "app server": &serverLog} {
		for line := range strings.Lines(log.String()) {
			has := func(key string) bool { return strings.Contains(line, " "+key+"=") }
			if has("connection") != has("epoch") || (has("server_connection") && !has("ingress")) || has("connection_id") {
				t.Errorf("the %s logs with other keys: %s", who, line)
			}
		}
	}
	all := relayLog.String()
	for message, want := range map[string]int{
		`msg="connection opened"`: 1, `msg="connection resumed"`: 1, `msg="connection parked"`: 1, `msg="connection closed"`: 1,
		`msg="client stream refused"`: 1, `msg="reload began"`: 1, `msg="reload is ready"`: 1, `msg="evacuation is over"`: 1,
	} {
		if n := strings.Count(all, message); n != want {
			t.Errorf("%d lines have %s, want %d:\n%s", n, message, want, all)
		}
	}
}
