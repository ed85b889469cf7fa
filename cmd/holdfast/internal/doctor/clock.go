package doctor

import (
	"context"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// maxSkew is how far the relay's clock may be from ours: tokens and certificates have times, and so have logs.
const maxSkew = 5 * time.Second

// clock reads the relay's clock: the first event of a watcher says that watching began, and when.
func (d *doctor) clock(ctx context.Context) Finding {
	const check = "clock"
	ctx, cancel := d.step(ctx)
	defer cancel() // Ends the watching.
	asked := time.Now()
	stream, err := d.Admin.WatchEvents(ctx, &holdfastv1.WatchEventsRequest{NoConnections: true})
	if err != nil {
		return skipped(check, "the relay does not tell its time: %s", words(err))
	}
	first, err := stream.Recv()
	if err != nil {
		return skipped(check, "the relay does not tell its time: %s", words(err))
	}
	return judgeClock(first.GetTime().AsTime(), asked, time.Now())
}

// judgeClock judges the time that the relay told between two times of ours.
func judgeClock(told, asked, answered time.Time) Finding {
	const check = "clock"
	skew := time.Duration(0)
	switch {
	case told.Before(asked):
		skew = told.Sub(asked)
	case told.After(answered):
		skew = told.Sub(answered)
	}
	if skew.Abs() > maxSkew {
		return warning(check, asIs("have both machines keep their time by NTP: certificates and tokens are judged by it"),
			"the relay's clock is off by %s against the one here", skew.Round(100*time.Millisecond))
	}
	return ok(check, "the relay's clock and the one here differ by less than %s", max(skew.Abs(), answered.Sub(asked)).Round(time.Millisecond)+time.Millisecond)
}
