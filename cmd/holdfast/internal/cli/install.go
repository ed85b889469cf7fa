package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

type installCommand struct {
	Path string `arg:"" help:"The file to write; its folder must be there."`
}

// Help is shown by --help.
func (installCommand) Help() string {
	return `Copies this program. The image has no shell and no cp; an init container does this, so that the container of an ingress has the program for its reload hooks.

Example:
  holdfast install /hooks/holdfast`
}

// Run runs the command.
func (c *installCommand) Run(_ context.Context, e *environment) error {
	own, err := os.Executable()
	if err == nil {
		err = copyProgram(own, c.Path)
	}
	if err != nil {
		return fmt.Errorf("install %s: %w", c.Path, err)
	}
	fmt.Fprintf(e.out, "installed %s\n", c.Path)
	return nil
}

// copyProgram puts the copy in place in one step, so that nobody runs half a program.
func copyProgram(from, to string) (err error) {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.CreateTemp(filepath.Dir(to), ".install-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(target.Name()))
		}
	}()
	_, err = io.Copy(target, source)
	if err = errors.Join(err, target.Chmod(0o755), target.Close()); err != nil {
		return err
	}
	return os.Rename(target.Name(), to)
}
