package settings

import (
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type program struct {
	File  `embed:""`
	Name  string        `default:"x" help:"A name."`
	Names []string      `help:"Names."`
	Wait  time.Duration `default:"1m30s" help:"A duration."`
}

// What is printed is in the order of the struct, in the words of the flags, and leaves out what cannot stand in a file.
func TestPrint(t *testing.T) {
	t.Parallel()
	var p program
	parser, err := kong.New(&p, Options()...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse([]string{"--names=a,b", "--name=no"}); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := Print(parser.Model, &out); err != nil {
		t.Fatal(err)
	}
	const want = "name: \"no\"\nnames:\n    - a\n    - b\nwait: 1m30s\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}
