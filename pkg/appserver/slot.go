package appserver

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	minRedial = 50 * time.Millisecond
	maxRedial = 5 * time.Second // well within the park time
	// provenAfter is after what time a server connection has proved that the address is good. When one after the other
	// goes earlier they are not replaced without a pause, or a relay or ingress that refuses late would be flooded.
	provenAfter = time.Second
	// spreadRedials is how often a server connection is redialled because all of them came in through one
	// ingress. What stands between may have one ingress only.
	spreadRedials = 3
)

// slot is one server connection to keep.
type slot struct {
	target target
	// counted: allTried waits for its first try.
	counted bool
	// over reports that nobody wants it any more. It is asked before each dial but the first, and never again after true.
	over func() bool
}

// keep keeps one server connection until the context ends, or until it is gone and nobody wants another. A path that is about to go is replaced at
// once, while its stream lives on beside the new one; one that is gone is redialled with jittered backoff.
func (s *Server) keep(ctx, life context.Context, to slot) {
	retry := &backoff.ExponentialBackOff{
		InitialInterval: minRedial, MaxInterval: maxRedial, Multiplier: 2, RandomizationFactor: 0.5,
	}
	retry.Reset()
	spread := 0
	hasty := 0 // how many in a row went before they had proved anything
	for first := true; ctx.Err() == nil && (first || !to.over()); first = false {
		sc, err := s.attach(ctx, life, to.target)
		if first && to.counted {
			s.tried()
		}
		if err != nil {
			s.config.Logger.Warn("cannot attach to the relay", "address", to.target.String(), "error", err)
			sleep(ctx, retry.NextBackOff())
			continue
		}
		if spread < spreadRedials && s.waitTried(ctx, sc) && s.crowded(sc) {
			spread++
			s.config.Logger.Info("all server connections came in through one ingress; redialling", "ingress", sc.ingress,
				"server_connection", sc.id, "try", spread)
			sc.drain("redialling to come in through another ingress")
			sleep(ctx, retry.NextBackOff())
			continue
		}
		spread = 0
		goodbye := false
		select {
		case <-sc.leaving:
			goodbye = true
		case <-sc.gone:
		case <-ctx.Done():
			return
		}
		hasty++
		if time.Since(sc.attachedAt) >= provenAfter {
			hasty = 0
			retry.Reset()
		}
		if !goodbye || hasty > 1 {
			sleep(ctx, retry.NextBackOff())
		}
	}
}

// waitTried waits until every server connection was tried once: before that, those that answered first may well have come
// in through one ingress. It reports false when this one went meanwhile.
func (s *Server) waitTried(ctx context.Context, sc *serverConn) bool {
	select {
	case <-s.allTried:
		return true
	case <-sc.leaving:
	case <-sc.gone:
	case <-ctx.Done():
	}
	return false
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
