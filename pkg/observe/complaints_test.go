package observe

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestComplaintsAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		c := &complaints{log: slog.New(slog.NewTextHandler(&out, nil))}
		for range 100 {
			c.Handle(errors.New("nobody listens"))
		}
		time.Sleep(complainEvery)
		c.Handle(errors.New("nobody listens still"))
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != 2 || !strings.Contains(lines[0], "unsaid=0") || !strings.Contains(lines[1], "unsaid=99") {
			t.Errorf("logged %q", lines)
		}
	})
}
