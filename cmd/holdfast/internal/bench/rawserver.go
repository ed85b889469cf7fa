package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
)

// serveTCP serves each connection in a goroutine of its own until ctx is done, and ends all of them then.
func serveTCP(ctx context.Context, listener net.Listener, serve func(context.Context, net.Conn)) error {
	ctx, cancel := context.WithCancel(ctx)
	var serving sync.WaitGroup
	defer serving.Wait()
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })()
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		serving.Go(func() {
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
			serve(ctx, conn)
		})
	}
}

// ServeRawEcho serves a raw echo server until ctx is done.
func ServeRawEcho(ctx context.Context, listen string) error {
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("--listen %s: %w", listen, err)
	}
	return serveTCP(ctx, listener, rawEcho)
}

// rawEcho sends back each frame that comes on a connection.
func rawEcho(_ context.Context, conn net.Conn) {
	in, out := newRawReader(conn), newRawWriter(conn)
	for {
		id, payload, err := in.frame()
		if err != nil {
			return
		}
		if out.frame(id, payload, in.idle()) != nil {
			return
		}
	}
}

// ServeRawRelay serves a raw relay until ctx is done: the streams of all connections go over one connection to the
// upstream.
func ServeRawRelay(ctx context.Context, listen, upstream string) error {
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("--listen %s: %w", listen, err)
	}
	conn, err := dialUntil(ctx, upstream)
	if err != nil {
		_ = listener.Close()
		return fmt.Errorf("--upstream %s: %w", upstream, err)
	}
	return rawRelay(ctx, listener, conn)
}

// dialUntil connects to a server that may have to begin to serve first.
func dialUntil(ctx context.Context, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil || pause(ctx, pollInterval) != nil {
			return conn, err
		}
	}
}

// rawRoutes has the connections of a raw relay.
type rawRoutes struct {
	mu   sync.Mutex
	last uint32                // under mu
	out  map[uint32]*rawWriter // under mu
}

func (r *rawRoutes) add(out *rawWriter) uint32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	r.out[r.last] = out
	return r.last
}

func (r *rawRoutes) remove(id uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.out, id)
}

func (r *rawRoutes) find(id uint32) *rawWriter {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out[id]
}

// rawRelay relays until ctx is done or the upstream connection ends. Upstream, the high half of a stream id names
// the connection and the low half is the id there.
func rawRelay(ctx context.Context, listener net.Listener, conn net.Conn) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	routes := &rawRoutes{out: map[uint32]*rawWriter{}}
	upstream := newRawWriter(conn)
	var down error
	var reading sync.WaitGroup
	reading.Go(func() {
		defer cancel()
		down = rawDown(conn, routes)
		if ctx.Err() != nil {
			down = nil
		}
	})
	err := serveTCP(ctx, listener, func(_ context.Context, c net.Conn) { rawUp(c, routes, upstream) })
	cancel()
	reading.Wait()
	return errors.Join(err, down)
}

// rawUp carries the frames of one connection to the upstream.
func rawUp(conn net.Conn, routes *rawRoutes, upstream *rawWriter) {
	number := routes.add(newRawWriter(conn))
	defer routes.remove(number)
	in := newRawReader(conn)
	for {
		id, payload, err := in.frame()
		if err != nil {
			return
		}
		if upstream.frame(uint64(number)<<32|id&(1<<32-1), payload, in.idle()) != nil {
			return
		}
	}
}

// rawDown carries the frames of the upstream back. What was written to several connections goes out when nothing
// more has come.
func rawDown(conn net.Conn, routes *rawRoutes) error {
	in := newRawReader(conn)
	written := map[uint32]*rawWriter{}
	for {
		id, payload, err := in.frame()
		if err != nil {
			return fmt.Errorf("the upstream connection ended: %w", err)
		}
		number := uint32(id >> 32)
		if out := routes.find(number); out != nil { // else it is gone
			written[number] = out
			_ = out.frame(id&(1<<32-1), payload, false) // A connection that fails ends in rawUp.
		}
		if in.idle() {
			for number, out := range written {
				_ = out.flush()
				delete(written, number)
			}
		}
	}
}
