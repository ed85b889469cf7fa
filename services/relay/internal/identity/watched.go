package identity

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// watched is a file that is read again when it has changed. What it said last stays in force when it turns bad.
type watched[T any] struct {
	// Set once.
	name  string
	every time.Duration
	parse func([]byte) (T, error)
	log   *slog.Logger

	value atomic.Pointer[T]

	// mu is held by the one that looks; nobody waits for it.
	mu sync.Mutex
	// Guarded by mu.
	looked  time.Time
	content []byte
}

// watch reads the file. It is looked at again at most that often, and only when it is asked for.
func watch[T any](name string, every time.Duration, log *slog.Logger, parse func([]byte) (T, error)) (*watched[T], error) {
	w := &watched[T]{name: name, every: every, parse: parse, log: log}
	if err := w.read(); err != nil {
		return nil, err
	}
	w.looked = time.Now()
	return w, nil
}

// get returns what the file says.
func (w *watched[T]) get() T {
	if w.mu.TryLock() {
		if now := time.Now(); now.Sub(w.looked) >= w.every {
			w.looked = now
			if err := w.read(); err != nil {
				w.log.Error("a file has turned bad; what it said before stays in force", "file", w.name, "error", err)
			}
		}
		w.mu.Unlock()
	}
	return *w.value.Load()
}

func (w *watched[T]) read() error {
	b, err := os.ReadFile(w.name)
	if err != nil || w.value.Load() != nil && bytes.Equal(b, w.content) {
		return err
	}
	value, err := w.parse(b)
	if err != nil {
		return fmt.Errorf("%s: %w", w.name, err)
	}
	w.value.Store(&value)
	w.content = b
	return nil
}
