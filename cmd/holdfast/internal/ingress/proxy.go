package ingress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/grpc/codes"
)

// idHeader tells the relay which ingress a request came in through.
const idHeader = "X-Ingress-Id"

// copyBufferSize is what each open stream holds for copying what comes down.
const copyBufferSize = 8 << 10

// newProxy returns the handler of one generation.
func newProxy(cfg Config, transport http.RoundTripper) http.Handler {
	log := cfg.Logger.With("ingress", cfg.ID)
	// FlushInterval stays 0: a response of unknown length goes on at once all the same. With -1 the headers
	// of one that has nothing but headers may be flushed before its end, and a client misses the trailers then.
	return &httputil.ReverseProxy{
		Transport:  &balancer{transport: transport, upstreams: cfg.Upstreams},
		BufferPool: newBufferPool(),
		ErrorLog:   slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		Rewrite: func(r *httputil.ProxyRequest) {
			// The relay may end a stream while its client's half is still open. The transport has to be able
			// to end a read of that half then; the body that the proxy puts here swallows the Close.
			if r.In.ContentLength != 0 {
				r.Out.Body = r.In.Body
			}
			r.Out.URL.Scheme = "http" // and the host of a relay, which the balancer says
			r.Out.Host = r.In.Host
			// In place of any that came in: its own name, the caller's address, and no identity.
			r.Out.Header.Set(idHeader, cfg.ID)
			r.Out.Header.Set("X-Forwarded-For", hostOf(r.In.RemoteAddr))
			r.Out.Header.Del("X-Holdfast-Identity")
		},
		ModifyResponse: func(r *http.Response) error {
			r.Body = &responseBody{ReadCloser: r.Body, response: r}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() != nil {
				return // The client is gone; nobody reads the answer.
			}
			log.Warn("upstream failed", "error", err)
			refuse(w, r, fmt.Sprintf("ingress %s: %v", cfg.ID, err))
		},
	}
}

func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}

// refuse answers a request that never reached the relay.
func refuse(w http.ResponseWriter, r *http.Request, message string) {
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
		http.Error(w, message, http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/grpc")
	setStatus(w.Header(), message)
	w.WriteHeader(http.StatusOK)
}

func setStatus(h http.Header, message string) {
	h.Set("Grpc-Status", strconv.Itoa(int(codes.Unavailable)))
	h.Set("Grpc-Message", url.PathEscape(message))
}

// responseBody ends a response whose upstream connection broke with the gRPC status UNAVAILABLE, which a
// bare reset of the stream would not say.
type responseBody struct {
	io.ReadCloser
	response *http.Response
}

// Read reads the response of the relay.
func (b *responseBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) {
		return n, err
	}
	if b.response.Trailer == nil {
		b.response.Trailer = http.Header{}
	}
	setStatus(b.response.Trailer, "the upstream connection broke: "+err.Error())
	return n, io.EOF
}

// bufferPool implements httputil.BufferPool.
type bufferPool struct{ pool sync.Pool }

func newBufferPool() *bufferPool {
	return &bufferPool{sync.Pool{New: func() any {
		b := make([]byte, copyBufferSize)
		return &b
	}}}
}

func (p *bufferPool) Get() []byte  { return *p.pool.Get().(*[]byte) }
func (p *bufferPool) Put(b []byte) { p.pool.Put(&b) }
