// Package watched reads a file again when it has changed.
package watched

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// File is a file that is read again when it has changed. What it said last stays in force when it turns bad.
type File[T any] struct {
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

// Open reads the file. It is looked at again at most that often, and only when it is asked for.
func Open[T any](name string, every time.Duration, log *slog.Logger, parse func([]byte) (T, error)) (*File[T], error) {
	f := &File[T]{name: name, every: every, parse: parse, log: log}
	if err := f.read(); err != nil {
		return nil, err
	}
	f.looked = time.Now()
	return f, nil
}

// Get returns what the file says.
func (f *File[T]) Get() T {
	if f.mu.TryLock() {
		if now := time.Now(); now.Sub(f.looked) >= f.every {
			f.looked = now
			if err := f.read(); err != nil {
				f.log.Error("a file has turned bad; what it said before stays in force", "file", f.name, "error", err)
			}
		}
		f.mu.Unlock()
	}
	return *f.value.Load()
}

func (f *File[T]) read() error {
	b, err := os.ReadFile(f.name)
	if err != nil || f.value.Load() != nil && bytes.Equal(b, f.content) {
		return err
	}
	value, err := f.parse(b)
	if err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	f.value.Store(&value)
	f.content = b
	return nil
}
