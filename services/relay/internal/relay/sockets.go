package relay

import (
	"context"
	"net/http"
)

// sockets serves clients over WebSocket, on a listener of its own: browsers speak HTTP/1 to it.
type sockets struct {
	server *http.Server
	// end ends the sockets that there are.
	end context.CancelFunc
}

// newSockets returns the server, with the handler for as long as the context lives. Every path is the clients'.
func newSockets(handler func(context.Context) http.Handler) *sockets {
	ctx, end := context.WithCancel(context.Background())
	return &sockets{end: end, server: &http.Server{
		Handler: handler(ctx), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
	}}
}

// drain takes nobody new, and waits for those who were about to become sockets. The sockets that there are go on.
func (s *sockets) drain() { _ = s.server.Shutdown(context.Background()) } // cut ends it

// cut ends everything at once.
func (s *sockets) cut() {
	s.end()
	_ = s.server.Close()
}
