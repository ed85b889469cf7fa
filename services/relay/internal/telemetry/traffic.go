package telemetry

import (
	"context"
	"errors"
	"sync/atomic"

	"go.opentelemetry.io/otel/metric"
)

// traffic is what went one way over server connections. It is counted for each batch, with plain atomics: the data path does
// not call the SDK, which reads them when it collects.
type traffic struct {
	batches, frames, bytes atomic.Int64
	_                      [64 - 3*8]byte // the two directions are counted by different goroutines
}

func (t *traffic) add(frames, bytes int) {
	t.batches.Add(1)
	t.frames.Add(int64(frames))
	t.bytes.Add(int64(bytes))
}

// BatchIn counts a received batch, with so many frames and so many bytes of frames.
func (c *Counters) BatchIn(frames, bytes int) { c.in.add(frames, bytes) }

// BatchOut counts a sent one.
func (c *Counters) BatchOut(frames, bytes int) { c.out.add(frames, bytes) }

func (c *Counters) observeTraffic() error {
	var errs []error
	counter := func(name, unit, description string, of func(*traffic) *atomic.Int64) {
		in := metric.WithAttributes(direction.String("receive"))
		out := metric.WithAttributes(direction.String("transmit"))
		_, err := c.meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(description),
			metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
				o.Observe(of(&c.in).Load(), in)
				o.Observe(of(&c.out).Load(), out)
				return nil
			}))
		errs = append(errs, err)
	}
	counter("holdfast.relay.frames", "{frame}", "Frames on server connections, by direction.",
		func(t *traffic) *atomic.Int64 { return &t.frames })
	counter("holdfast.relay.batches", "{batch}", "Batches of frames on server connections, by direction.",
		func(t *traffic) *atomic.Int64 { return &t.batches })
	counter("holdfast.relay.io", "By", "Bytes of encoded frames on server connections, by direction.",
		func(t *traffic) *atomic.Int64 { return &t.bytes })
	return errors.Join(errs...)
}
