package ingress

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
)

// balancer sends each request to the next relay, and to the one after that when it cannot be reached.
type balancer struct {
	transport http.RoundTripper
	upstreams []string
	turn      atomic.Uint64
}

// RoundTrip implements http.RoundTripper.
func (b *balancer) RoundTrip(r *http.Request) (*http.Response, error) {
	first := b.turn.Add(1)
	body := &heldBody{ReadCloser: r.Body}
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { body.reached.Store(true) }}
	var response *http.Response
	var err error
	for n := range uint64(len(b.upstreams)) {
		upstream := b.upstreams[(first+n)%uint64(len(b.upstreams))]
		try := r.Clone(httptrace.WithClientTrace(r.Context(), trace))
		try.URL.Host = upstream
		if r.Body != nil && r.Body != http.NoBody {
			try.Body = body
		}
		if response, err = b.transport.RoundTrip(try); err == nil {
			return response, nil
		}
		err = fmt.Errorf("upstream %s: %w", upstream, err)
		if body.reached.Load() || r.Context().Err() != nil {
			break
		}
	}
	if r.Body != nil && !body.reached.Load() {
		_ = r.Body.Close() // which the transport has not done
	}
	return nil, err
}

// heldBody is not closed before a relay was reached: until then another one may be asked.
type heldBody struct {
	io.ReadCloser
	reached atomic.Bool
}

// Close closes the body, when a relay has it.
func (b *heldBody) Close() error {
	if !b.reached.Load() {
		return nil
	}
	return b.ReadCloser.Close()
}
