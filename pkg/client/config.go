package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"google.golang.org/grpc"
)

// Config says what a Connection is. Zero values mean the default.
type Config struct {
	// Addresses are those of the ingresses that lead to relays, as gRPC targets; at least one. They are tried in turn, from a random
	// one on. Two that lead through different ingresses are needed to survive the loss of one.
	Addresses []string
	// Application names the application to talk to; empty means the relay's default one.
	Application string
	// Dialer lets the connection share its transports with others; by default it shares none.
	Dialer *Dialer
	// DialOptions are added to each dial. They must have the transport credentials; with no options at all the connection is
	// plaintext. Not beside a Dialer, which has its own.
	DialOptions []grpc.DialOption
	// Token returns a JSON Web Token to show to the relay; by default none is shown. It is asked anew for each stream and must return
	// when its context ends. When it returns an error the attempt has failed, and another one is made later.
	Token func(context.Context) (string, error)
	// Logger takes what happens; slog.Default() by default.
	Logger *slog.Logger
	// Events is told what happens, one event at a time and in order, in a goroutine of its own. When it has not taken the last
	// 16 yet, the connection waits for it before it moves again. Close does not wait for it.
	Events func(Event)
	// MinBackoff and MaxBackoff bound the time between two attempts, which doubles from one to the next and of which each is
	// spread by a half either way; 100 ms and 5 s by default.
	MinBackoff, MaxBackoff time.Duration
	// AttemptTimeout is for how long one attempt may take, from the dial to the relay's Welcome; 10 s by default.
	AttemptTimeout time.Duration
	// GiveUpAfter is for how long a connection that no stream carries is tried to be resumed; by default 30 s beyond the time for
	// which the relay says that it keeps the connection, as the relay may notice the loss later.
	GiveUpAfter time.Duration
}

const (
	defaultMinBackoff     = 100 * time.Millisecond
	defaultMaxBackoff     = 5 * time.Second
	defaultAttemptTimeout = 10 * time.Second
	// lateNotice is how much later than the client a relay may notice that a stream is gone.
	lateNotice = 30 * time.Second
)

func (c Config) withDefaults() (Config, error) {
	switch {
	case len(c.Addresses) == 0:
		return c, errors.New("no address is configured; give at least one")
	case slices.Contains(c.Addresses, ""):
		return c, fmt.Errorf("address %d of %d is empty", slices.Index(c.Addresses, "")+1, len(c.Addresses))
	case c.Dialer != nil && len(c.DialOptions) > 0:
		return c, errors.New("there are dial options beside a dialer; give them to the dialer")
	case c.MinBackoff < 0 || c.MaxBackoff < 0:
		return c, fmt.Errorf("backoff of %v to %v; want 0 for the default, or more", c.MinBackoff, c.MaxBackoff)
	case c.AttemptTimeout < 0:
		return c, fmt.Errorf("attempt timeout of %v; want 0 for the default, or more", c.AttemptTimeout)
	case c.GiveUpAfter < 0:
		return c, fmt.Errorf("giving up after %v; want 0 for the default, or more", c.GiveUpAfter)
	}
	setDefault(&c.MinBackoff, defaultMinBackoff)
	setDefault(&c.MaxBackoff, max(defaultMaxBackoff, c.MinBackoff))
	setDefault(&c.AttemptTimeout, defaultAttemptTimeout)
	if c.MaxBackoff < c.MinBackoff {
		return c, fmt.Errorf("backoff of %v to %v; want the first to be at most the second", c.MinBackoff, c.MaxBackoff)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Addresses = slices.Clone(c.Addresses)
	if c.Dialer == nil {
		var err error
		if c.Dialer, err = NewDialer(1, c.DialOptions...); err != nil {
			return c, err
		}
	}
	return c, nil
}

func setDefault(d *time.Duration, to time.Duration) {
	if *d == 0 {
		*d = to
	}
}
