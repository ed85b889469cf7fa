package admin

import (
	"context"
	"log/slog"
	"strings"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/wire"
)

// levels are the levels that can be set, by their names.
var levels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

// SetLogLevel implements AdminService.
func (s *Service) SetLogLevel(_ context.Context, req *holdfastv1.SetLogLevelRequest) (*holdfastv1.SetLogLevelResponse, error) {
	level, ok := levels[req.GetLevel()]
	if !ok {
		return nil, wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_INVALID_FIELD,
			"level %q is none; want debug, info, warn or error", req.GetLevel())
	}
	previous := s.level.Level()
	s.level.Set(level)
	return &holdfastv1.SetLogLevelResponse{Level: levelName(level), PreviousLevel: levelName(previous)}, nil
}

func levelName(l slog.Level) string { return strings.ToLower(l.String()) }
