package demo

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/traffic"
)

// trafficGrace is how long the clients may take to end.
const trafficGrace = 10 * time.Second

// fleets are the clients of the demo.
type fleets struct {
	plain *traffic.Fleet
	// resumable is nil when there are none of these.
	resumable *traffic.Fleet
	clients   int // of both
}

func newFleets(cfg Config, addresses []string) (*fleets, error) {
	common := traffic.Config{
		Addresses: addresses, Application: application, Rate: cfg.Rate, Size: cfg.Size, CountInterval: cfg.CountInterval,
		StopGrace: trafficGrace,
	}
	f := &fleets{clients: cfg.Clients + cfg.Resumable}
	var err error
	of := common
	of.Clients = cfg.Clients
	if f.plain, err = traffic.New(of); err != nil || cfg.Resumable == 0 {
		return f, err
	}
	of = common
	of.Clients, of.Resumable = cfg.Resumable, true
	f.resumable, err = traffic.New(of)
	return f, err
}

// all returns the fleets that there are.
func (f *fleets) all() []*traffic.Fleet {
	if f.resumable == nil {
		return []*traffic.Fleet{f.plain}
	}
	return []*traffic.Fleet{f.plain, f.resumable}
}

// run runs the clients until ctx is done, and returns what they saw.
func (f *fleets) run(ctx context.Context) (plain traffic.Report, resumable *traffic.Report) {
	var both sync.WaitGroup
	both.Go(func() { plain = f.plain.Run(ctx) })
	if f.resumable != nil {
		both.Go(func() {
			r := f.resumable.Run(ctx)
			resumable = &r
		})
	}
	both.Wait()
	return plain, resumable
}

// connected returns how many logical connections live.
func (f *fleets) connected() int {
	n := 0
	for _, fleet := range f.all() {
		n += fleet.Snapshot().Connected
	}
	return n
}

// ready waits until every client has received its first message.
func (f *fleets) ready(ctx context.Context) error {
	timeout := time.NewTimer(readyTimeout)
	defer timeout.Stop()
	for _, fleet := range f.all() {
		select {
		case <-fleet.Ready():
		case <-timeout.C:
			return fmt.Errorf("only %d of %d clients were connected within %s; try fewer with --clients and --resumable",
				f.connected(), f.clients, readyTimeout)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// resumableClients is how they are called together: they come in now through one ingress and now through the other.
const resumableClients = "resumable"

// groupOf returns to which clients that of a live logical connection belongs: the resumable ones, or those of an ingress.
func (f *fleets) groupOf(connection string) (string, bool) {
	if in, ok := f.plain.IngressOf(connection); ok {
		return in, true
	}
	if f.resumable == nil {
		return "", false
	}
	_, ok := f.resumable.IngressOf(connection)
	return resumableClients, ok
}
