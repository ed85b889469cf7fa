// Package traffic has clients that talk to the sample application through the ingresses and judge what
// comes back: for each direction what was lost, doubled, reordered or corrupted.
package traffic

import (
	"errors"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"

	"github.com/holdfast/holdfast/pkg/verify"
)

const (
	maxRate = 10_000
	maxSize = 1 << 20
)

// Config says what the clients do.
type Config struct {
	// Addresses has the ingresses, HOST:PORT each; the clients are spread evenly over them.
	Addresses []string
	Clients   int
	// Resumable clients move by themselves when the way that they came in goes, each between all of the addresses.
	Resumable bool
	// Application is the application to talk to; empty means the relay's default one.
	Application string
	// Rate is the number of messages that each client sends in a second.
	Rate float64
	// Size is the size of each message in bytes.
	Size int
	// CountInterval is the interval of the application's counter; 0 leaves it out.
	CountInterval time.Duration
	// StopGrace is for how long the end waits for what is under way.
	StopGrace time.Duration
	// DialOptions are added to those of every client.
	DialOptions []grpc.DialOption
}

func (c Config) check() error {
	var errs []error
	refuse := func(wrong bool, format string, values ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, values...))
		}
	}
	refuse(len(c.Addresses) == 0, "--addresses: is empty; give the HOST:PORT of one ingress or more")
	for _, address := range c.Addresses {
		_, _, err := net.SplitHostPort(address)
		refuse(err != nil, "--addresses: %q is not allowed; HOST:PORT is", address)
	}
	refuse(c.Clients < 1, "--clients: %d is not allowed; 1 and more is", c.Clients)
	refuse(c.Rate < 0 || c.Rate > maxRate, "--rate: %v is not allowed; 0 to %d messages a second is", c.Rate, maxRate)
	refuse(c.Size < verify.MinSize || c.Size > maxSize, "--size: %d is not allowed; %d to %d bytes is", c.Size, verify.MinSize, maxSize)
	refuse(c.CountInterval != 0 && c.CountInterval < time.Millisecond, "--count-interval: %s is not allowed; 0s or 1ms and more is", c.CountInterval)
	refuse(c.Rate == 0 && c.CountInterval == 0, "--rate and --count-interval are both 0, so that nothing would be sent; set one of them")
	refuse(c.StopGrace <= 0, "--stop-grace: %s is not allowed; more than 0s is", c.StopGrace)
	return errors.Join(errs...)
}

// commands is the number of messages that a client sends beside its numbered ones before it stops.
func (c Config) commands() uint64 {
	if c.CountInterval > 0 {
		return 1
	}
	return 0
}
