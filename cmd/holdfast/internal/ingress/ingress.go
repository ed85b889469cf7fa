// Package ingress is a small ingress for demonstrations and tests: a reverse proxy for HTTP/2 without TLS
// that stamps every request with x-ingress-id and reloads the way nginx does.
//
// A reload starts a new generation that serves every new connection at once. The connections of the old
// generation get GOAWAY; their open streams run on for the grace time and are cut then, together with the
// generation's own upstream connections.
package ingress

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"
)

// Config is what an ingress needs to know.
type Config struct {
	// ID is the value of x-ingress-id.
	ID string
	// Upstreams are the HOST:PORT of the relays. Requests go to them in turn.
	Upstreams []string
	// Grace is for how long the open streams of an old generation run on.
	Grace  time.Duration
	Logger *slog.Logger
}

func (c Config) check() error {
	var errs []error
	if c.ID == "" {
		errs = append(errs, errors.New("the id is empty; give the ingress a name, such as a"))
	}
	if len(c.Upstreams) == 0 {
		errs = append(errs, errors.New("there is no upstream; give the HOST:PORT of one relay or more"))
	}
	for _, upstream := range c.Upstreams {
		_, port, err := net.SplitHostPort(upstream)
		if n, portErr := strconv.Atoi(port); err != nil || portErr != nil || n < 1 || n > 65535 {
			errs = append(errs, fmt.Errorf("upstream %q is not allowed; HOST:PORT with a port from 1 to 65535 is", upstream))
		}
	}
	if c.Grace < 0 {
		errs = append(errs, fmt.Errorf("grace %s is not allowed; 0s and more is", c.Grace))
	}
	return errors.Join(errs...)
}

// Ingress is one ingress on one listener.
type Ingress struct {
	cfg      Config
	listener net.Listener

	// cut is done when everything that is open is to be cut at once.
	cut    context.Context
	cutNow context.CancelFunc

	// ending has the old generations; Run waits for them.
	ending sync.WaitGroup

	mu      sync.Mutex
	current *generation // under mu
	ended   bool        // under mu; no new generation after that
}

// New returns an ingress that owns the listener from now on. It serves nothing before Run.
func New(cfg Config, listener net.Listener) (*Ingress, error) {
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("ingress: %w", err)
	}
	cut, cutNow := context.WithCancel(context.Background())
	return &Ingress{
		cfg: cfg, listener: listener, cut: cut, cutNow: cutNow, current: newGeneration(1, cfg),
	}, nil
}

// Run serves until ctx is done, and cuts what is open then, or until a Drain is over.
func (i *Ingress) Run(ctx context.Context) error {
	defer i.cutNow()
	stop := context.AfterFunc(ctx, func() {
		i.cutNow()
		i.Drain()
	})
	defer stop()
	i.cfg.Logger.Info("ingress started", "ingress", i.cfg.ID, "listen", i.listener.Addr().String(), "upstreams", i.cfg.Upstreams)
	err := i.accept()
	i.end()
	i.ending.Wait()
	i.cfg.Logger.Info("ingress stopped", "ingress", i.cfg.ID)
	return err
}

// Reload makes a new generation serve the new connections and ends the old one. It returns as soon as the
// new one serves.
func (i *Ingress) Reload() {
	i.mu.Lock()
	if i.ended {
		i.mu.Unlock()
		return
	}
	old := i.current
	i.current = newGeneration(old.number+1, i.cfg)
	i.mu.Unlock()
	i.cfg.Logger.Info("ingress reloaded", "ingress", i.cfg.ID, "generation", old.number+1)
	i.retire(old)
}

// Drain takes no new connections and makes Run return when the grace is over or nothing is open any more.
func (i *Ingress) Drain() { _ = i.listener.Close() }

// accept hands every new connection to the generation of the moment.
func (i *Ingress) accept() error {
	for {
		conn, err := i.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("ingress %s: accept: %w", i.cfg.ID, err)
		}
		for !i.generation().hand(conn) { // Refused by one that was replaced meanwhile.
		}
	}
}

func (i *Ingress) generation() *generation {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.current
}

func (i *Ingress) end() {
	i.mu.Lock()
	i.ended = true
	last := i.current
	i.mu.Unlock()
	i.retire(last)
}

func (i *Ingress) retire(g *generation) {
	i.ending.Go(func() {
		g.retire(i.cut, i.cfg.Grace)
		i.cfg.Logger.Info("generation ended", "ingress", i.cfg.ID, "generation", g.number)
	})
}
