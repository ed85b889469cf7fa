// Package house_test checks the direction of dependencies: services and cmd use pkg, pkg uses gen, and nothing the
// other way round.
package house_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/holdfast/holdfast/"

// rules say for the packages below a folder which folders of this module they may import.
var rules = []struct {
	folder string
	may    []string
	// standardOnly: nothing from outside the standard library.
	standardOnly bool
}{
	{folder: "gen/"},
	{folder: "pkg/ordering", standardOnly: true},
	{folder: "pkg/", may: []string{"pkg/", "gen/"}},
	{folder: "services/relay", may: []string{"services/relay", "pkg/", "gen/"}},
	{folder: "services/appserver", may: []string{"services/appserver", "pkg/", "gen/"}},
	{folder: "cmd/", may: []string{"cmd/", "pkg/", "gen/"}},
	{folder: "test/", may: []string{"test/", "pkg/", "gen/"}},
}

type goPackage struct {
	ImportPath string
	Imports    []string
}

func TestImportsKeepTheDirection(t *testing.T) {
	packages := list(t)
	if len(packages) < 15 {
		t.Fatalf("only %d packages were listed; the check sees too little", len(packages))
	}
	for _, p := range packages {
		folder := strings.TrimPrefix(p.ImportPath, module)
		found := false
		for _, rule := range rules {
			if !strings.HasPrefix(folder+"/", strings.TrimSuffix(rule.folder, "/")+"/") {
				continue
			}
			for _, imported := range p.Imports {
				if problem := check(imported, rule.may, rule.standardOnly); problem != "" {
					t.Errorf("%s imports %s: %s", folder, imported, problem)
				}
			}
			found = true
			break
		}
		if !found {
			t.Errorf("no rule covers package %s; add one", folder)
		}
	}
}

func check(imported string, may []string, standardOnly bool) string {
	if !strings.HasPrefix(imported, module) {
		if standardOnly && strings.Contains(strings.Split(imported, "/")[0], ".") {
			return "only the standard library is allowed here"
		}
		return ""
	}
	folder := strings.TrimPrefix(imported, module)
	for _, m := range may {
		if strings.HasPrefix(folder+"/", strings.TrimSuffix(m, "/")+"/") {
			return ""
		}
	}
	return "the dependency goes the wrong way"
}

func TestCheckFindsWhatIsForbidden(t *testing.T) {
	for _, c := range []struct {
		imported     string
		may          []string
		standardOnly bool
	}{
		{module + "services/relay/internal/registry", []string{"pkg/", "gen/"}, false},
		{module + "cmd/holdfast", []string{"services/relay", "pkg/"}, false},
		{"google.golang.org/grpc", nil, true},
	} {
		if check(c.imported, c.may, c.standardOnly) == "" {
			t.Errorf("importing %s was let pass", c.imported)
		}
	}
}

func list(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []goPackage
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}
