// Package settings reads a program's settings: from flags before the environment, that before a file, and that before the
// defaults. A struct with kong's tags says what there is; each setting has one name in all three places.
package settings

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// Prefix is what the names of environment variables begin with.
const Prefix = "HOLDFAST"

// File is embedded in a struct of settings. It lets a file give some, and all be printed.
type File struct {
	Config      kong.ConfigFlag `placeholder:"FILE" help:"YAML file with settings by the names of their flags; flags and the environment go before it."`
	PrintConfig bool            `help:"Print the settings as they would be used, as a file for --config, and exit."`
}

// Options are kong's options for all that this package does.
func Options() []kong.Option {
	return []kong.Option{kong.DefaultEnvars(Prefix), kong.Configuration(load)}
}

// ownFlags cannot stand in a file.
var ownFlags = []string{"help", "config", "print-config"}

// file is what a file says, as the text of a flag's value by the flag's name.
type file map[string]string

// load reads a file. It is called with what kong has opened.
func load(r io.Reader) (kong.Resolver, error) {
	var values map[string]yaml.Node
	decoder := yaml.NewDecoder(r)
	if err := decoder.Decode(&values); err != nil && !errors.Is(err, io.EOF) { // it may be empty
		return nil, fmt.Errorf("the configuration file is not YAML with a value for each name: %w", err)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("the configuration file has more than one document; want one, with no --- in between")
	}
	f := make(file, len(values))
	for name, node := range values {
		if node.Tag == "!!null" {
			continue // as if it were not there
		}
		text, err := textOf(&node)
		if err != nil {
			return nil, fmt.Errorf("the configuration file, line %d: %s: %w", node.Line, name, err)
		}
		f[name] = text
	}
	return f, nil
}

// textOf returns the value of a flag: a list has commas.
func textOf(n *yaml.Node) (string, error) {
	switch n.Kind {
	case yaml.ScalarNode:
		return n.Value, nil
	case yaml.SequenceNode:
		parts := make([]string, len(n.Content))
		for i, part := range n.Content {
			if part.Kind != yaml.ScalarNode || strings.Contains(part.Value, ",") {
				return "", fmt.Errorf("item %d is %q; want a plain value with no comma", i+1, part.Value)
			}
			parts[i] = part.Value
		}
		return strings.Join(parts, ","), nil
	}
	return "", errors.New("want a value or a list of values")
}

// Validate implements kong.Resolver: a name that is no setting is refused.
func (f file) Validate(app *kong.Application) error {
	var known []string
	for _, flag := range app.AllFlags(false) {
		for _, one := range flag {
			known = append(known, one.Name)
		}
	}
	for name := range f {
		if !slices.Contains(known, name) || slices.Contains(ownFlags, name) {
			return fmt.Errorf("the configuration file has %q, which is no setting; --help lists them all", name)
		}
	}
	return nil
}

// Resolve implements kong.Resolver.
func (f file) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if slices.Contains(ownFlags, flag.Name) { // Validate refuses them
		return nil, nil
	}
	for _, name := range flag.Envs {
		if _, set := os.LookupEnv(name); set {
			return nil, nil
		}
	}
	if text, ok := f[flag.Name]; ok {
		return text, nil
	}
	return nil, nil
}

// Print writes the settings that were parsed as a file for --config.
func Print(app *kong.Application, w io.Writer) error {
	all := yaml.Node{Kind: yaml.MappingNode}
	for _, flags := range app.AllFlags(false) {
		for _, flag := range flags {
			if slices.Contains(ownFlags, flag.Name) {
				continue
			}
			var name, value yaml.Node
			name.SetString(flag.Name)
			if err := value.Encode(plain(flag.Target)); err != nil {
				return fmt.Errorf("printing --%s: %w", flag.Name, err)
			}
			all.Content = append(all.Content, &name, &value)
		}
	}
	out := yaml.NewEncoder(w)
	if err := out.Encode(&all); err != nil {
		return err
	}
	return out.Close()
}

// plain returns what YAML shows of a value as people write it: 15s, not 15000000000.
func plain(v reflect.Value) any {
	if s, ok := v.Interface().(fmt.Stringer); ok {
		return s.String()
	}
	return v.Interface()
}
