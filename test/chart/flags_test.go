package chart_test

import (
	"fmt"
	"os/exec"
	"regexp"
	"sync"
	"testing"
)

var flagName = regexp.MustCompile(`--[a-z][a-z0-9-]*`)

// helps has what each program says of itself, by its name.
var helps = sync.OnceValues(func() (map[string]map[string]bool, error) {
	flags := map[string]map[string]bool{}
	for name, args := range map[string][]string{
		"relay": {"./services/relay", "--help"}, "appserver": {"./services/appserver", "--help"}, "doctor": {"./cmd/holdfast", "doctor", "--help"},
	} {
		run := exec.Command("go", append([]string{"run"}, args...)...)
		run.Dir = "../.."
		out, err := run.CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("%s: %w\n%s", name, err, out)
		}
		flags[name] = map[string]bool{}
		for _, flag := range flagName.FindAllString(string(out), -1) {
			flags[name][flag] = true
		}
	}
	return flags, nil
})

// checkFlags looks whether the programs have the flags that the containers give them.
func checkFlags(t *testing.T, all []document) (checked int) {
	t.Helper()
	flags, err := helps()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		if d.Spec.Template == nil {
			continue
		}
		for _, c := range d.Spec.Template.Spec.Containers {
			if len(c.Args) == 0 {
				continue
			}
			name, args := c.Args[0], c.Args[1:]
			if name == "holdfast" {
				name, args = args[0], args[1:]
			}
			for _, arg := range args {
				flag := flagName.FindString(arg)
				checked++
				if !flags[name][flag] {
					t.Errorf("%s: %s has no flag %s (in %q)", d, name, flag, arg)
				}
			}
		}
	}
	return checked
}
