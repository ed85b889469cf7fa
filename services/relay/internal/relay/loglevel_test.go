package relay

import (
	"log/slog"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// The level is set at run time, for the logger that the configuration gave out before.
func TestSetLogLevel(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		log := s.relay.config.Logger()
		for _, c := range []struct {
			level, previous string
			shown, hidden   slog.Level
		}{
			{"warn", "info", slog.LevelWarn, slog.LevelInfo},
			{"debug", "warn", slog.LevelDebug, slog.LevelDebug - 1},
			{"error", "debug", slog.LevelError, slog.LevelWarn},
			{"info", "error", slog.LevelInfo, slog.LevelDebug},
		} {
			r, err := s.admin.SetLogLevel(s.ctx, &holdfastv1.SetLogLevelRequest{Level: c.level})
			if err != nil || r.GetLevel() != c.level || r.GetPreviousLevel() != c.previous {
				t.Errorf("%s: got %v, %v", c.level, r, err)
			}
			if !log.Enabled(s.ctx, c.shown) || log.Enabled(s.ctx, c.hidden) {
				t.Errorf("%s: %v is logged: %v; %v is: %v", c.level, c.shown, log.Enabled(s.ctx, c.shown), c.hidden, log.Enabled(s.ctx, c.hidden))
			}
		}
		for _, wrong := range []string{"", "INFO", "loud", "debug+1"} {
			_, err := s.admin.SetLogLevel(s.ctx, &holdfastv1.SetLogLevelRequest{Level: wrong})
			if reasonOrCode(err) != "INVALID_FIELD" || status.Code(err) != codes.InvalidArgument {
				t.Errorf("%q: got %v", wrong, err)
			}
		}
		if !log.Enabled(s.ctx, slog.LevelInfo) || log.Enabled(s.ctx, slog.LevelDebug) {
			t.Error("a wrong level changed the level")
		}
	})
}
