package config

import (
	"fmt"
	"time"
)

// Resume says how resumable clients come back.
type Resume struct {
	ResumeTime      time.Duration `default:"30s" help:"For how long the connection of a resumable client whose stream is gone waits for it, 0s to 10m."`
	ResumeTokenTime time.Duration `default:"5m" help:"For how long a resume token is good, 10s to 24h; at least twice --resume-time."`
	ReconnectWindow time.Duration `default:"10s" help:"Over what time resumable clients that are asked to move are spread, 0s to 10m."`
}

func (r *Resume) check() error {
	if err := checkRanges(
		duration("resume-time", r.ResumeTime, 0, 10*time.Minute),
		duration("resume-token-time", r.ResumeTokenTime, 10*time.Second, 24*time.Hour),
		duration("reconnect-window", r.ReconnectWindow, 0, 10*time.Minute),
	); err != nil {
		return err
	}
	if r.ResumeTokenTime < 2*r.ResumeTime {
		return fmt.Errorf("--resume-token-time=%v with --resume-time=%v: want twice that or more, so that a token which was not new "+
			"when the stream broke is good for as long as the connection waits", r.ResumeTokenTime, r.ResumeTime)
	}
	return nil
}
