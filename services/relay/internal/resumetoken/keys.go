package resumetoken

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/holdfast/holdfast/services/relay/internal/config"
	"github.com/holdfast/holdfast/services/relay/internal/watched"
)

// minSecret is the least size of a key, in bytes: that of what HS256 makes of it.
const minSecret = 32

// key is one secret, and the name by which a token says that it was signed with it.
type key struct {
	id     string
	secret []byte
}

// ring is what a file says: at least one key. The first one signs, and all verify.
type ring []key

// find returns the secret of the key with the id, nil when there is none.
func (r ring) find(id string) []byte {
	for _, k := range r {
		if k.id == id {
			return k.secret
		}
	}
	return nil
}

// Keys sign and verify tokens. It is safe for concurrent use.
type Keys struct {
	ring func() ring
}

// New reads the file that the settings name; it is read again when it changes. Without one there is one key that nobody else has,
// and tokens are good at this process alone.
func New(c *config.Security, log *slog.Logger) (*Keys, error) {
	if c.ResumeKeyFile == "" {
		secret := make([]byte, minSecret)
		_, _ = rand.Read(secret) // never fails, says its documentation
		own := ring{newKey(secret)}
		return &Keys{func() ring { return own }}, nil
	}
	file, err := watched.Open(c.ResumeKeyFile, c.TLSRefresh, log, parse)
	if err != nil {
		return nil, fmt.Errorf("--resume-key-file: %w", err)
	}
	return &Keys{file.Get}, nil
}

// newKey names the key after its secret: all relays name it alike, and the name does not tell what the secret is.
func newKey(secret []byte) key {
	sum := sha256.Sum256(append([]byte("holdfast resume key "), secret...))
	return key{id: base64.RawURLEncoding.EncodeToString(sum[:6]), secret: secret}
}

// parse reads the file. Its errors name lines and never what they say, which goes into the log.
func parse(b []byte) (ring, error) {
	var r ring
	lines := make(map[string]int) // of the keys by their ids
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		secret, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil {
			return nil, fmt.Errorf("line %d is not base64: want a key, as holdfast keygen prints it, or a comment that begins with #", n)
		}
		if len(secret) < minSecret {
			return nil, fmt.Errorf("line %d: a key of %d bytes; want %d or more, as holdfast keygen prints them", n, len(secret), minSecret)
		}
		k := newKey(secret)
		if other, ok := lines[k.id]; ok {
			return nil, fmt.Errorf("line %d: the same key as on line %d; want each once", n, other)
		}
		lines[k.id] = n
		r = append(r, k)
	}
	if len(r) == 0 {
		return nil, errors.New("no key in it: want at least one line, as holdfast keygen prints it")
	}
	return r, nil
}
