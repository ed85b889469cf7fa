package wiretest

import (
	"context"
	"net"

	"google.golang.org/grpc/test/bufconn"
)

// Network makes listeners that work inside a synctest bubble; each bubble needs one of its own.
//
// It dials one connection at a time: a dial of bufconn starts timers that are due at once, and under the race detector
// Go 1.26 crashes when two goroutines of one bubble do that in the same instant.
type Network struct {
	dialing chan struct{}
}

// NewNetwork returns the network of the bubble that it is called in.
func NewNetwork() *Network {
	return &Network{dialing: make(chan struct{}, 1)}
}

// Listener is a listener in memory.
type Listener struct {
	*bufconn.Listener
	network *Network
}

// Listen returns a listener whose connections hold up to size bytes each way.
func (n *Network) Listen(size int) *Listener {
	return &Listener{bufconn.Listen(size), n}
}

// DialContext connects to the listener.
func (l *Listener) DialContext(ctx context.Context) (net.Conn, error) {
	select {
	case l.network.dialing <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-l.network.dialing }()
	c, err := l.Listener.DialContext(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c}, nil
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c}, nil
}
