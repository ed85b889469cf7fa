package cli

import (
	"context"
	"fmt"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/output"
	"github.com/holdfast/holdfast/cmd/holdfast/internal/resumekey"
)

type keygenCommand struct {
	File string `arg:"" optional:"" help:"The file to write, for its owner alone; when it is there it is left as it is. Without it the key is printed."`
}

// Help is shown by --help.
func (keygenCommand) Help() string {
	return `Makes one line for the file that the relays' --resume-key-file names. Each relay gets the same file; the first key signs, all verify.

Example:
  holdfast keygen resume-keys`
}

// Run runs the command.
func (c *keygenCommand) Run(_ context.Context, e *environment) error {
	if c.File == "" {
		return c.print(e)
	}
	written, err := resumekey.Keep(c.File)
	switch {
	case err != nil:
		return fmt.Errorf("keygen %s: %w", c.File, err)
	case written:
		fmt.Fprintf(e.out, "wrote a fresh key to %s\n", c.File)
	default:
		fmt.Fprintf(e.out, "%s is there; it is left as it is\n", c.File)
	}
	return nil
}

func (c *keygenCommand) print(e *environment) error {
	if e.json {
		return output.Value(e.out, map[string]string{"key": resumekey.New()})
	}
	_, err := fmt.Fprintln(e.out, resumekey.New())
	return err
}
