package resumekey

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func TestNew(t *testing.T) {
	t.Parallel()
	one := New()
	if key, err := base64.StdEncoding.DecodeString(one); err != nil || len(key) != size {
		t.Errorf("%q: %d bytes, %v", one, len(key), err)
	}
	if one == New() {
		t.Error("the same key twice")
	}
}

// Of many that want the file at once, one writes it, and it stays.
func TestKeep(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys")
	var written atomic.Int64
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			own, err := Keep(path)
			if err != nil {
				t.Error(err)
			}
			if own {
				written.Add(1)
			}
			if content, err := os.ReadFile(path); err != nil || len(content) != len(New())+1 {
				t.Errorf("%d bytes, %v", len(content), err)
			}
		})
	}
	all.Wait()
	left, err := os.ReadDir(filepath.Dir(path))
	if n := written.Load(); err != nil || n != 1 || len(left) != 1 {
		t.Errorf("written %d times, %d files, %v", n, len(left), err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := Keep(filepath.Join(path, "keys")); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("in a folder that is none: %v", err)
	}
}
