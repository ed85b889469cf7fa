// Package console serves the relay's console on the admin listener: a page for operators, with no build step and nothing
// from elsewhere, and the JSON API behind it.
//
// All of it is under "/" and "/api/". What the API says comes from the admin service; it has no state of its own but for
// the streams that are open.
package console

import (
	"log/slog"
	"net/http"
	"sync"

	"github.com/holdfast/holdfast/services/relay/internal/admin"
	"github.com/holdfast/holdfast/services/relay/internal/event"
)

// maxStreams is how many pages may follow the relay at once.
const maxStreams = 32

// Config says what the console is.
type Config struct {
	// RelayID names the relay on the page.
	RelayID string
	// ReadOnly: nothing can be reloaded, moved or closed from the page.
	ReadOnly bool
}

// Console is an http.Handler, safe for concurrent use. After the http.Server is closed, Wait waits for what it runs.
type Console struct {
	// Set once.
	config  Config
	admin   *admin.Service
	events  *event.Hub
	log     *slog.Logger
	handler http.Handler
	// stopping is closed when the relay shuts down.
	stopping <-chan struct{}
	// places has a place for each stream.
	places chan struct{}

	running sync.WaitGroup
	mu      sync.Mutex
	// Guarded by mu: nothing begins any more.
	over bool
}

// New returns the console. Its streams end when stopping is closed.
func New(cfg Config, a *admin.Service, events *event.Hub, log *slog.Logger, stopping <-chan struct{}) *Console {
	c := &Console{
		config: cfg, admin: a, events: events, log: log, stopping: stopping, places: make(chan struct{}, maxStreams),
	}
	mux := http.NewServeMux()
	addPage(mux)
	mux.HandleFunc("GET /api/state", c.getState)
	mux.HandleFunc("GET /api/stream", c.stream)
	mux.HandleFunc("GET /api/connections", c.findConnections)
	mux.Handle("POST /api/reload", action(c, "reload", c.reload))
	mux.Handle("POST /api/reload/complete", action(c, "complete", c.complete))
	mux.Handle("POST /api/reload/cancel", action(c, "cancel", c.cancel))
	mux.Handle("POST /api/move", action(c, "move", c.move))
	mux.Handle("POST /api/close", action(c, "close", c.closeConnection))
	mux.HandleFunc("/api/", unknown)
	c.handler = guard(mux)
	return c
}

// ServeHTTP implements http.Handler.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !c.begin() {
		refuse(w, stoppingError())
		return
	}
	defer c.running.Done()
	c.handler.ServeHTTP(w, r)
}

// begin counts something that Wait waits for. It reports false when the console is over.
func (c *Console) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		c.running.Add(1)
	}
	return !c.over
}

// Wait refuses what comes from now on and waits for what runs. The stopping channel must be closed, and the connections of
// the http.Server too.
func (c *Console) Wait() {
	c.mu.Lock()
	c.over = true
	c.mu.Unlock()
	c.running.Wait()
}
