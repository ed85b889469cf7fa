package relay

import (
	"context"
	"net"
	"net/http"
)

// sockets serves clients over WebSocket, on a listener of its own: browsers speak HTTP/1 to it.
type sockets struct {
	server *http.Server
	// cut ends the sockets that there are.
	cut context.CancelFunc
}

// newSockets returns the server. Every path is the clients'.
func newSockets(handler http.Handler) *sockets {
	ctx, cut := context.WithCancel(context.Background())
	return &sockets{cut: cut, server: &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}}
}

// close takes nobody new. Those that are there go on.
func (s *sockets) close() { _ = s.server.Close() }
