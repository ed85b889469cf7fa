package cli

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/output"
)

// keySize is the size of a key, in bytes.
const keySize = 32

type keygenCommand struct{}

// Help is shown by --help.
func (keygenCommand) Help() string {
	return `Prints one line for the file that the relays' --resume-key-file names. Each relay gets the same file; the first key signs, all verify.

Example:
  (umask 077 && holdfast keygen > resume-keys)`
}

// Run runs the command.
func (keygenCommand) Run(_ context.Context, e *environment) error {
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails, says its documentation
	line := base64.StdEncoding.EncodeToString(key)
	if e.json {
		return output.Value(e.out, map[string]string{"key": line})
	}
	_, err := fmt.Fprintln(e.out, line)
	return err
}
