package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/admin"
)

// defaults are the idle time-outs that ingresses have when nobody sets them, the shortest first.
var defaults = []struct {
	name string
	time time.Duration
}{
	{"the timeout client and server of Debian's haproxy.cfg", 50 * time.Second},
	{"nginx's grpc_read_timeout and client_body_timeout", 60 * time.Second},
	{"Envoy's stream_idle_timeout", 5 * time.Minute},
}

// silence is what became of a stream that nobody said anything on.
type silence struct {
	// wait is for how long it was to be silent, held for how long it lived.
	wait, held time.Duration
	// said is how many messages the application sent all the same.
	said int
	// err is why it ended; nil when it did not.
	err error
	// echoed says that it carried an echo afterwards.
	echoed bool
}

// idle holds a silent stream, and sees whether it is of use afterwards.
func (p *patient) idle(ctx context.Context) Finding {
	const check = "idle"
	if p.welcome == nil {
		return skipped(check, "no client is welcomed here")
	}
	if p.Wait == 0 {
		return skipped(check, "--wait is 0s")
	}
	s, err := p.open(ctx)
	if errors.Is(err, context.Canceled) {
		return skipped(check, "interrupted before it began")
	}
	if err != nil {
		return failed(check, adviseUpstream, "a second stream does not get through: %s", words(err))
	}
	defer s.close()
	x := silence{wait: p.Wait}
	x.held, x.said, x.err = s.silent(p.Wait)
	if x.err == nil && p.echoes {
		x.err = s.echo([]byte("holdfast doctor, after silence"))
		x.echoed = x.err == nil
	}
	return judgeIdle(x)
}

func judgeIdle(x silence) Finding {
	const check = "idle"
	held := x.held.Round(100 * time.Millisecond)
	switch reason := admin.Reason(x.err); {
	case errors.Is(x.err, io.EOF) || reason != "":
		return skipped(check, "the application or the relay ended the stream after %s, not the ingress: %s", held, ending(x.err, reason))
	case errors.Is(x.err, context.Canceled):
		return skipped(check, "interrupted after %s", held)
	case x.err != nil && held < x.wait:
		return failed(check, adviseIdle, "a silent stream was cut after %s: %s", held, words(x.err))
	case x.err != nil:
		return failed(check, adviseIdle, "a stream that was silent for %s carries nothing any more: %s", held, words(x.err))
	}
	proof := "it lives"
	if x.echoed {
		proof = "it carries messages"
	}
	if x.said > 0 {
		return ok(check, "after %s %s; it was not silent, as the application sent %d messages, so that no time-out of less was proved", held, proof, x.said)
	}
	return ok(check, "a stream was silent for %s, and %s%s", held, proof, unproved(held))
}

func ending(err error, reason string) string {
	if errors.Is(err, io.EOF) {
		return "closed"
	}
	return words(err) + ", " + reason
}

// unproved names the time-outs that are too long to have been seen.
func unproved(held time.Duration) string {
	var longer []string
	for _, d := range defaults {
		if d.time >= held {
			longer = append(longer, fmt.Sprintf("%s (%s)", d.name, d.time))
		}
	}
	if len(longer) == 0 {
		return ""
	}
	return "; a longer --wait would show " + strings.Join(longer, ", ")
}
