// Package resumekey makes the keys that relays sign resume tokens with.
package resumekey

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// size is the size of a key, in bytes.
const size = 32

// New returns a fresh key, as it stands on a line of a relay's --resume-key-file.
func New() string {
	key := make([]byte, size)
	_, _ = rand.Read(key) // never fails, says its documentation
	return base64.StdEncoding.EncodeToString(key)
}

// Keep writes a fresh key to the file, which nobody else may read, unless there is such a file. It reports whether it has.
func Keep(path string) (written bool, err error) {
	// Whoever finds the file finds the key in it, also when two do this at once.
	f, err := os.CreateTemp(filepath.Dir(path), ".resume-key-*")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	_, err = f.WriteString(New() + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return false, err
	}
	err = os.Link(f.Name(), path)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	return err == nil, err
}
