package client

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/keepalive"

	"github.com/holdfast/holdfast/pkg/wire"
)

const (
	// MaxStreamsPerTransport is how many streams a Dialer can have on one transport at most: ingresses allow little more by default.
	MaxStreamsPerTransport = 100
	// maxReceive bounds one gRPC message of the relay, in bytes: the largest message limit that a relay can have, and what
	// stands beside it.
	maxReceive = 17 << 20
	// pingTime and pingTimeout are after what time of silence the other end of the transport is pinged, and for how long its answer
	// may take. That other end is the ingress.
	pingTime, pingTimeout = 20 * time.Second, 10 * time.Second
)

// Dialer lets connections share transports: the TCP connections to ingresses. Its methods and all connections that use it may be
// used at the same time.
//
// A transport that is about to go (its ingress says so, or it broke) takes nothing new, and the connections on it move. It is closed
// when its last stream has ended, so that a Dialer with no connections holds nothing.
type Dialer struct {
	// Set once.
	streams int
	options []grpc.DialOption

	mu sync.Mutex
	// open has the transports that take streams, under mu.
	open map[string][]*transport
}

// NewDialer returns a Dialer that has at most that many streams on each transport, 1 to MaxStreamsPerTransport. The options are as
// Config.DialOptions.
func NewDialer(streamsPerTransport int, options ...grpc.DialOption) (*Dialer, error) {
	if streamsPerTransport < 1 || streamsPerTransport > MaxStreamsPerTransport {
		return nil, fmt.Errorf("%d streams per transport; want 1 to %d", streamsPerTransport, MaxStreamsPerTransport)
	}
	if len(options) == 0 {
		options = []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	}
	base := []grpc.DialOption{
		grpc.WithDisableRetry(), // a stream is never retried; without this its messages would be kept for that
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxReceive), grpc.ForceCodecV2(wire.Codec{})),
		experimental.WithBufferPool(wire.BufferPool),
		// Else a transport that died in silence would be noticed when something is sent, and a client that only receives sends nothing.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingTime, Timeout: pingTimeout}),
	}
	return &Dialer{streams: streamsPerTransport, options: append(base, options...), open: make(map[string][]*transport)}, nil
}

// transport is one ClientConn to an address, and the streams on it. It is not redialled: its connectivity state is the path's.
type transport struct {
	// Set once.
	dialer  *Dialer
	address string
	// leaving is closed when the path of the streams is about to go.
	leaving chan struct{}
	ctx     context.Context // ends the watch
	stop    context.CancelFunc
	watch   sync.WaitGroup
	connect func() (*grpc.ClientConn, error)

	// Guarded by dialer.mu.
	streams  int
	watching bool
}

// acquire returns a transport with room for a stream, which has to be released. It is dialled by whoever opens the first stream.
func (d *Dialer) acquire(address string) *transport {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, t := range d.open[address] {
		if t.streams < d.streams {
			t.streams++
			return t
		}
	}
	t := &transport{dialer: d, address: address, leaving: make(chan struct{}), streams: 1}
	t.ctx, t.stop = context.WithCancel(context.Background())
	t.connect = sync.OnceValues(func() (*grpc.ClientConn, error) { return grpc.NewClient(address, d.options...) })
	d.open[address] = append(d.open[address], t)
	return t
}

// release gives back the room of a stream that has ended. A transport whose stream broke takes nothing new.
func (t *transport) release(broke bool) error {
	d := t.dialer
	d.mu.Lock()
	t.streams--
	last := t.streams == 0
	if last || broke {
		d.excludeLocked(t)
	}
	d.mu.Unlock()
	if !last {
		return nil
	}
	t.stop()
	t.watch.Wait()
	cc, err := t.connect()
	if err != nil {
		return nil // whoever wanted to open a stream has it
	}
	if err := cc.Close(); err != nil {
		return fmt.Errorf("closing the transport to %s: %w", t.address, err)
	}
	return nil
}

func (d *Dialer) excludeLocked(t *transport) {
	left := slices.DeleteFunc(d.open[t.address], func(o *transport) bool { return o == t })
	if len(left) == 0 {
		delete(d.open, t.address)
		return
	}
	d.open[t.address] = left
}

// works says that a stream on the transport has been answered: from now on its state is watched.
func (t *transport) works() {
	t.dialer.mu.Lock()
	defer t.dialer.mu.Unlock()
	if !t.watching {
		t.watching = true
		t.watch.Go(t.await)
	}
}

// await sees the GOAWAY of an ingress that is reloading: a stream is not told of it, but the ClientConn leaves READY while the
// streams still work.
func (t *transport) await() {
	cc, err := t.connect()
	if err != nil {
		return // then no stream was answered
	}
	// A stream can be answered a moment before the state says READY.
	for _, state := range []connectivity.State{connectivity.Connecting, connectivity.Ready} {
		for cc.GetState() == state {
			if !cc.WaitForStateChange(t.ctx, state) {
				return
			}
		}
	}
	t.dialer.mu.Lock()
	t.dialer.excludeLocked(t)
	t.dialer.mu.Unlock()
	close(t.leaving)
}
